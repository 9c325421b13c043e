#include "supervisor/control/root_client/root_codec_client.h"

#include <array>

namespace flodea::control {
namespace {

CgroupController controller_of(const std::string& name) {
  static constexpr std::array kAll{CgroupController::kUnified, CgroupController::kMemory,
                                   CgroupController::kPids,    CgroupController::kCpu,
                                   CgroupController::kCpuacct, CgroupController::kIo};
  for (CgroupController controller : kAll) {
    if (controller_name(controller) == name) return controller;
  }
  return CgroupController::kUnified;
}

}  // namespace

Error error_of(const root::v1::Reply& reply) {
  Error error;
  error.code = reply.code() <= 15 ? static_cast<Code>(reply.code()) : Code::kUnknown;
  error.message = reply.step().empty() ? reply.message() : reply.step() + ": " + reply.message();
  error.remedy = reply.remedy();
  return error;
}

HostFacts facts_of(const root::v1::HelloReply& reply) {
  const root::v1::Host& host = reply.host();
  HostFacts facts{.epoch = {reply.epoch()},
                  .boot_id = reply.boot_id(),
                  .kernel = host.kernel(),
                  .cgroup = host.cgroup(),
                  .volume_backend = host.volume_backend(),
                  .landlock_abi = host.landlock_abi(),
                  .cpus = host.cpus(),
                  .uid_ranges = host.uid_ranges(),
                  .vault_takeover = host.vault_takeover(),
                  .memory_bytes = host.memory_bytes(),
                  .volumes_free_bytes = host.volumes_free_bytes(),
                  .max_memory_bytes = host.max_memory_bytes(),
                  .max_pids = host.max_pids(),
                  .max_agents = host.max_agents()};
  facts.missing.assign(host.missing().begin(), host.missing().end());
  facts.limits.assign(host.limits().begin(), host.limits().end());
  facts.runtimes.insert(host.runtimes().begin(), host.runtimes().end());
  for (const auto& state : reply.services())
    facts.services.push_back(
        {.name = state.service(), .up = state.up(), .restarts = state.restarts()});
  return facts;
}

StartedInstance started_of(const root::v1::StartReply& reply) {
  StartedInstance out{.worker_pid = reply.worker_pid(), .uid_base = reply.uid_base()};
  for (const auto& phase : reply.phases())
    out.phases.push_back({phase.name(), Nanos(static_cast<std::int64_t>(phase.nanos()))});
  for (const auto& dir : reply.cgroups())
    out.cgroups.push_back({controller_of(dir.controller()), dir.path()});
  return out;
}

Result<StartedInstance> started_with_fds(const root::v1::StartReply& reply,
                                         std::vector<UniqueFd>& fds) {
  if (fds.size() != 4)
    return fail(Code::kInternal, "flodead sent " + std::to_string(fds.size()) +
                                     " descriptors of an instance, not 4");
  StartedInstance out = started_of(reply);
  out.fds = {.attach = std::move(fds[0]),
             .log_pipe = std::move(fds[1]),
             .page = std::move(fds[2]),
             .store = std::move(fds[3])};
  return out;
}

Result<InstanceExit> exit_of(const root::v1::InstanceExited& event) {
  InstanceExit out{.agent = TRY(AgentId::parse(event.agent_id())),
                   .generation = {event.generation()},
                   .signaled = event.signaled(),
                   .value = event.value(),
                   .status_known = event.status_known(),
                   .oom_kills = event.oom_kills(),
                   .memory_peak = event.memory_peak(),
                   .cpu_nanos = event.cpu_nanos(),
                   .killed_by = event.killed_by()};
  return out;
}

Result<ListedInstance> listed_of(const root::v1::Instance& instance) {
  using State = ListedInstance::State;
  ListedInstance out{.agent = TRY(AgentId::parse(instance.agent_id())),
                     .generation = {instance.generation()}};
  switch (instance.state()) {
    case root::v1::INSTANCE_STATE_STARTING:
      out.state = State::kStarting;
      break;
    case root::v1::INSTANCE_STATE_RUNNING:
      out.state = State::kRunning;
      break;
    case root::v1::INSTANCE_STATE_EXITED:
      out.state = State::kExited;
      break;
    case root::v1::INSTANCE_STATE_RELEASING:
      out.state = State::kReleasing;
      break;
    default:
      break;
  }
  if (instance.has_exit()) {
    out.exit = TRY(exit_of(instance.exit()));
  } else {
    out.exit.agent = out.agent;
    out.exit.generation = out.generation;
  }
  return out;
}

root::v1::StartRequest encode_start(const StartRequest& request) {
  root::v1::StartRequest out;
  out.set_agent_id(request.agent.text());
  out.set_generation(request.generation.value);
  out.set_hostname(request.hostname);
  out.set_bundle(request.bundle.hex());
  out.set_runtime(request.runtime);
  root::v1::Limits& limits = *out.mutable_limits();
  limits.set_memory_bytes(request.resources.memory_bytes);
  limits.set_cpu_millis(request.resources.cpu_millis);
  limits.set_pids(request.resources.pids);
  limits.set_open_files(request.resources.open_files);
  limits.set_tmp_bytes(request.tmp_bytes);
  for (const BundleDigest& layer : request.layers) out.add_layers(layer.hex());
  return out;
}

root::v1::RunJobRequest encode_job(const JobRequest& request) {
  root::v1::RunJobRequest out;
  out.set_program(request.program);
  out.set_bundle(request.bundle.hex());
  out.set_input(request.input);
  for (const std::string& word : request.arguments) out.add_arguments(word);
  out.set_memory_bytes(request.memory_bytes);
  out.set_seconds(request.seconds);
  out.set_output_bytes(request.output_bytes);
  return out;
}

Result<EndedJob> ended_job(const root::v1::RunJobReply& reply, std::vector<UniqueFd>& fds) {
  EndedJob job{.signaled = reply.signaled(),
               .value = reply.value(),
               .out_of_memory = reply.oom_kills() > 0,
               .output = {},
               .messages = {}};
  if (fds.size() == 2) {
    job.output = std::move(fds[0]);
    job.messages = std::move(fds[1]);
  } else if (!job.out_of_memory) {
    return fail(Code::kInternal, "flodead sent a job without what it wrote");
  }
  return job;
}

}  // namespace flodea::control
