#include "supervisor/root/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sysexits.h>

#include <algorithm>

#include "base/call_marks.h"
#include "base/device_table.h"
#include "base/fd_layout.h"
#include "supervisor/root/request.h"

namespace flodea::root {
namespace {

constexpr Nanos kVaultEndDeadline = std::chrono::seconds(10);
// Each may hold a helper and a turn; control keeps far fewer under way.
constexpr std::size_t kMaxRequests = 512;

v1::Reply error_reply(std::uint64_t id, const Error& error) {
  v1::Reply reply;
  reply.set_id(id);
  reply.set_code(static_cast<std::uint32_t>(error.code));
  reply.set_message(error.message);
  reply.set_step(error.field);
  reply.set_remedy(error.remedy);
  return reply;
}

bool makes_something(v1::Request::VerbCase verb) {
  return verb == v1::Request::kCreateVolume || verb == v1::Request::kStart ||
         verb == v1::Request::kDestroyVolume || verb == v1::Request::kRunJob;
}

// By a fault of its own: what an operator or the kernel's memory killer sends is none.
bool is_crash(const ExitStatus& status) {
  constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
  return status.signaled && std::ranges::find(kFaults, status.value) != std::end(kFaults);
}

std::uint64_t id_of(std::string_view bytes) {
  v1::Request request;
  return request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ? request.id() : 0;
}

}  // namespace

Supervisor::Supervisor(SupervisorParts parts)
    : parts_(std::move(parts)),
      control_(
          parts_.loop, [this](FdMessage message) { on_message(std::move(message)); },
          [this](const std::string& why) {
            spdlog::error("service=flodea-control error=\"cut off: {}\"", why);
            control_.disconnect();
            control_service_->signal(SIGKILL);
          }),
      turns_(parts_.loop),
      epoch_(parts_.epoch) {}

Status Supervisor::start() {
  if (stopping_) return {};
  if (!vault_service_->running()) TRY(vault_service_->start());
  return control_service_->start();
}

// ---- services

Service::Callbacks Supervisor::vault_callbacks() {
  return {.prepare = [this] { return vault_life(); },
          .ended = [this](ExitStatus status) { return vault_ended(status); },
          .changed = [this](const char* why) { announce(*vault_service_, why); }};
}

Service::Callbacks Supervisor::control_callbacks() {
  return {.prepare = [this] { return control_life(); },
          .ended = [this](ExitStatus status) { return control_ended(status); },
          .changed = [this](const char* why) { announce(*control_service_, why); }};
}

void Supervisor::announce(const Service& service, const char* why) {
  v1::Reply event;
  auto* changed = event.mutable_service_changed();
  changed->set_service(service.name());
  changed->set_up(service.running());
  changed->set_why(why);
  changed->set_restarts(service.restarts());
  control_.send(event);
}

// A new vault gets the present control's socket, and every open volume.
Result<ServiceLife> Supervisor::vault_life() {
  auto root = TRY(make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  if (!vault_end_)
    vault_end_ = std::move(TRY(make_socketpair(SOCK_SEQPACKET))
                               .second);  // before the first control: closed at its far end
  ServiceLife life{.arguments = parts_.vault_arguments};
  life.fds.emplace_back(std::move(root.second), fd_layout::vault::kRoot);
  life.fds.emplace_back(TRY(vault_end_.duplicate()), fd_layout::vault::kControl);
  life.fds.emplace_back(TRY(adopt_fd(::fcntl(parts_.volumes_dir, F_DUPFD_CLOEXEC, 0), "duplicate")),
                        fd_layout::vault::kVolumes);
  life.fds.emplace_back(TRY(adopt_fd(::fcntl(parts_.keys_dir, F_DUPFD_CLOEXEC, 0), "duplicate")),
                        fd_layout::vault::kKeys);
  life.fds.emplace_back(TRY(DeviceTable::make()), fd_layout::vault::kTable);
  // Room for a request per open volume: all are sent at once when a vault takes over.
  const int buffer = 1 << 20;
  if (::setsockopt(root.first.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0)
    return fail_errno("size the vault's socket");
  TRY(parts_.vault.connect(std::move(root.first)));
  parts_.volumes.resume_all();
  return life;
}

Service::After Supervisor::vault_ended(ExitStatus status) {
  parts_.vault.disconnect();
  if (vault_told_) {
    parts_.loop.stop();
    return Service::After::kStay;
  }
  if (!status.signaled && status.value == EX_CONFIG && instances_.empty()) {
    fail_start(EX_CONFIG);
    return Service::After::kStay;
  }
  if (!parts_.volumes.can_resume()) parts_.volumes.abandon_all();
  return Service::After::kRestart;
}

Result<ServiceLife> Supervisor::control_life() {
  auto root = TRY(make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  auto vault = TRY(make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  vault_end_ = std::move(vault.second);
  TRY(hand_control_to_vault());
  TRY(parts_.instances.journal.record_epoch(epoch_ + 1));
  ++epoch_;
  if (!marks_) marks_ = TRY(CallMarks::make());
  ServiceLife life{.arguments = {"--epoch", std::to_string(epoch_)}};
  if (Nanos crashed = std::exchange(control_crashed_, {}); crashed > Nanos{})
    life.arguments.insert(life.arguments.end(), {"--crashed", std::to_string(crashed.count())});
  life.arguments.insert(life.arguments.end(), parts_.control_arguments.begin(),
                        parts_.control_arguments.end());
  life.fds.emplace_back(std::move(root.second), fd_layout::control::kRoot);
  life.fds.emplace_back(std::move(vault.first), fd_layout::control::kVault);
  life.fds.emplace_back(TRY(adopt_fd(::fcntl(parts_.operators, F_DUPFD_CLOEXEC, 0), "duplicate")),
                        fd_layout::control::kOperators);
  life.fds.emplace_back(TRY(adopt_fd(::fcntl(parts_.state_dir, F_DUPFD_CLOEXEC, 0), "duplicate")),
                        fd_layout::control::kStateDir);
  life.fds.emplace_back(TRY(marks_.duplicate()), fd_layout::control::kMarks);
  TRY(control_.connect(std::move(root.first)));
  return life;
}

// A fresh socket for each control: no reply to a dead one can reach its successor. A vault that is
// down gets it with its next life.
Status Supervisor::hand_control_to_vault() {
  if (!parts_.vault.connected()) return {};
  vault::v1::Request request;
  request.mutable_attach_control();
  [[maybe_unused]] auto reply =
      parts_.vault.request(std::move(request), vault_end_.get(), kVaultEndDeadline);
  return {};
}

Service::After Supervisor::control_ended(ExitStatus status) {
  control_.disconnect();
  if (is_crash(status)) control_crashed_ = SystemClock().monotonic();
  const bool for_reload = control_gone_.has_value();
  if (for_reload) std::exchange(control_gone_, std::nullopt)->set(true);
  if (stopping_) {
    if (!status.success())
      spdlog::warn("service=flodea-control error=\"it did not stop the agents by itself\"");
    finish();
    return Service::After::kStay;
  }
  if (for_reload) return Service::After::kStay;
  if (!status.signaled && status.value == EX_CONFIG && instances_.empty()) {
    fail_start(EX_CONFIG);
    return Service::After::kStay;
  }
  return Service::After::kRestart;
}

// A service that says its settings are wrong (EX_CONFIG) has said why; starting it again would not
// help.
void Supervisor::fail_start(int status) {
  exit_status_ = status;
  stopping_ = true;
  if (control_service_->running())
    control_service_->signal(SIGKILL);  // its end goes on from there
  else
    finish();
}

// ---- ends

void Supervisor::on_instance_exit(const v1::InstanceExited& exit) {
  v1::Reply event;
  *event.mutable_instance_exited() = exit;
  control_.send(event);
}

void Supervisor::on_volume_lost(const AgentId& agent) {
  spdlog::error("agent={} error=\"vault lost\"", agent.text());
  auto it = instances_.find(agent);
  if (it != instances_.end()) it->second->kill("vault lost");
}

void Supervisor::on_terminate() {
  if (stopping_) {  // the second one
    for (auto& [agent, instance] : instances_) instance->kill("shutdown");
    control_service_->signal(SIGKILL);
    return;
  }
  stopping_ = true;
  spdlog::info("state=stopping agents={}", instances_.size());
  control_service_->stay_down();
  if (!control_service_->running()) {
    finish();
    return;
  }
  v1::Reply event;
  event.mutable_shutdown_requested();
  control_.send(event);
  parts_.loop.call_after(parts_.shutdown_timeout, [this] {
    spdlog::error("service=flodea-control error=\"did not stop every agent in time\"");
    control_service_->signal(SIGKILL);
  });
}

Async<void> Supervisor::end_instances() {
  while (!instances_.empty()) {
    AgentId agent = instances_.begin()->first;
    for (auto& [id, instance] : instances_) instance->kill("shutdown");
    auto exited = instances_.begin()->second->exited();
    [[maybe_unused]] auto seen = co_await exited;
    auto waiting = turns_.wait(agent);
    [[maybe_unused]] auto mine = co_await waiting;
    AgentTurns::Turn turn(turns_, agent);
    auto it = instances_.find(agent);
    if (it == instances_.end()) continue;  // a start that failed has undone itself
    auto releasing = it->second->release();
    auto leftovers = co_await releasing;
    for (const std::string& left : *leftovers)
      spdlog::error("agent={} leftover=\"{}\"", agent.text(), left);
    instances_.erase(agent);
  }
  co_return Status{};
}

Detached Supervisor::finish() {
  if (finishing_) co_return;
  finishing_ = true;
  auto stopping = parts_.jobs.end();
  [[maybe_unused]] auto stopped = co_await stopping;
  auto ending = end_instances();
  [[maybe_unused]] auto ended = co_await ending;
  end_vault();
}

// The vault ends by itself once flodead's socket is closed and nothing is served.
void Supervisor::end_vault() {
  vault_told_ = true;
  vault_service_->stay_down();
  parts_.vault.disconnect();
  vault_end_.reset();
  if (!vault_service_->running()) return parts_.loop.stop();
  parts_.loop.call_after(kVaultEndDeadline, [this] { vault_service_->signal(SIGKILL); });
}

// ---- requests

void Supervisor::on_message(FdMessage message) {
  auto request = decode_request(message.bytes);
  if (!request) return refuse(message.bytes, request.error());
  if (requests_ + held_.size() >= kMaxRequests) {
    control_.send(error_reply(
        request->id(),
        fail(Code::kResourceExhausted, std::to_string(kMaxRequests) + " requests are under way")
            .value()));
    return;
  }
  if (holding_starts_ && makes_something(request->verb_case())) {
    held_.push_back({std::move(*request), control_.life()});
    return;
  }
  serve(std::move(*request));
}

void Supervisor::refuse(std::string_view bytes, const Error& error) {
  std::uint64_t id = id_of(bytes);
  spdlog::warn("service=flodea-control error=\"bad request: {}\"", error.describe());
  if (id != 0) control_.send(error_reply(id, error));
}

Supervisor::Verb Supervisor::find_verb(v1::Request::VerbCase verb) {
  struct Row {
    v1::Request::VerbCase verb;
    Verb run;
  };
  static constexpr Row kRows[] = {
      {v1::Request::kHello, &Supervisor::hello},
      {v1::Request::kCreateVolume, &Supervisor::create_volume},
      {v1::Request::kStart, &Supervisor::start_instance},
      {v1::Request::kKill, &Supervisor::kill},
      {v1::Request::kRelease, &Supervisor::release},
      {v1::Request::kDestroyVolume, &Supervisor::destroy_volume},
      {v1::Request::kSetDeadline, &Supervisor::set_deadline},
      {v1::Request::kFreeze, &Supervisor::freeze},
      {v1::Request::kList, &Supervisor::list},
      {v1::Request::kAdopt, &Supervisor::adopt},
      {v1::Request::kRunJob, &Supervisor::run_job},
      {v1::Request::kReload, &Supervisor::reload},
  };
  for (const Row& row : kRows) {
    if (row.verb == verb) return row.run;
  }
  return nullptr;
}

Detached Supervisor::serve(v1::Request request) {
  std::uint64_t id = request.id();
  std::uint64_t life = control_.life();
  Verb verb = find_verb(request.verb_case());
  if (verb == nullptr) co_return;  // decode_request refuses what is not in the table
  ++requests_;
  auto running = (this->*verb)(std::move(request));
  auto answer = co_await running;
  --requests_;
  if (control_.life() != life) co_return;  // who asked is dead; its successor asks again
  if (!answer) {
    control_.send(error_reply(id, answer.error()));
    co_return;
  }
  answer->reply.set_id(id);
  for (const UniqueFd& fd : answer->given) answer->fds.push_back(fd.get());
  control_.send(answer->reply, answer->fds);
}

}  // namespace flodea::root
