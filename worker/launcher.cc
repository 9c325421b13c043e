#include "worker/launcher.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace flodea::worker {
namespace {

// Above every number that the child arranges, so that no dup3 in it overwrites one still needed.
Result<UniqueFd> raise(UniqueFd fd) {
  return adopt_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFreeFd), "fcntl F_DUPFD");
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Status make_nonblocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("fcntl");
  return {};
}

struct AgentEnds {
  UniqueFd dev_null, stdout_fd, stderr_fd, calls, report, ruleset, listener, prober;
};

Status make_channels(bool with_listener, bool with_prober, Launched& ours, AgentEnds& theirs) {
  auto out = TRY(make_pipe());
  auto err = TRY(make_pipe());
  auto report = TRY(make_pipe());
  auto calls = TRY(make_socketpair(SOCK_STREAM));
  auto dev_null = TRY(adopt_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open /dev/null"));
  theirs.dev_null = TRY(raise(std::move(dev_null)));
  theirs.stdout_fd = TRY(raise(std::move(out.second)));
  theirs.stderr_fd = TRY(raise(std::move(err.second)));
  theirs.report = TRY(raise(std::move(report.second)));
  theirs.calls = TRY(raise(std::move(calls.second)));
  if (with_listener) {
    auto pair = TRY(make_socketpair(SOCK_SEQPACKET));
    theirs.listener = TRY(raise(std::move(pair.second)));
    ours.listener = std::move(pair.first);
  }
  if (with_prober) {
    auto pair = TRY(make_socketpair(SOCK_SEQPACKET));
    theirs.prober = TRY(raise(std::move(pair.second)));
    TRY(make_nonblocking(pair.first.get()));
    ours.prober = std::move(pair.first);
  }
  ours.stdout_pipe = std::move(out.first);
  ours.stderr_pipe = std::move(err.first);
  ours.report = std::move(report.first);
  ours.calls = std::move(calls.first);
  for (int fd : {ours.stdout_pipe.get(), ours.stderr_pipe.get(), ours.report.get()})
    TRY(make_nonblocking(fd));
  return {};
}

// Where execve is to look for a probe's program: the path, or its name in each directory of PATH.
std::vector<std::string> candidates(const std::string& program,
                                    const std::vector<std::string>& env) {
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& entry : env)
    if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
  std::vector<std::string> out;
  while (!path.empty()) {
    std::size_t colon = std::min(path.find(':'), path.size());
    if (colon != 0) out.push_back(std::string(path.substr(0, colon)) + "/" + program);
    path.remove_prefix(std::min(colon + 1, path.size()));
  }
  return out;
}

// All that the prober needs of its memory, made before the fork.
struct ProberMemory {
  std::array<std::vector<std::string>, kProbeKinds> paths;
  std::array<std::vector<char*>, kProbeKinds> path_pointers, argv;
  std::vector<std::string> env;
  std::vector<char*> envp;
  ProberPlan plan{};

  explicit ProberMemory(const LaunchPlan& launch) : env(launch.env) {
    std::erase_if(env, [](const std::string& entry) { return entry.starts_with("FLODEA_FD="); });
    envp = pointers(env);
    plan.envp = envp.data();
    for (const ProbePlan& probe : launch.probes) {
      auto i = static_cast<std::size_t>(probe.kind);
      paths[i] = candidates(probe.command.front(), env);
      path_pointers[i] = pointers(paths[i]);
      argv[i] = pointers(probe.command);
      plan.commands[i] = {.candidates = path_pointers[i].data(),
                          .argv = argv[i].data(),
                          .timeout_ns = probe.timeout.count()};
    }
  }
};

bool is_sound(const ProbePlan& probe) {
  return static_cast<std::uint32_t>(probe.kind) < kProbeKinds && !probe.command.empty() &&
         !probe.command.front().empty() && probe.every >= kMinProbePeriod &&
         probe.first_every >= kMinProbePeriod && probe.timeout > Nanos(0);
}

}  // namespace

Status check_plan(const LaunchPlan& plan) {
  bool absolute = plan.executable.starts_with('/') && plan.cwd.starts_with('/');
  if (!absolute)
    return fail(Code::kInvalidArgument, "the plan's executable and directory must be absolute");
  if (plan.argv.empty()) return fail(Code::kInvalidArgument, "the plan has no argv");
  if (plan.uid == 0 || plan.gid == 0)
    return fail(Code::kInvalidArgument, "the plan would run the agent as root");
  if (plan.open_files < 8)
    return fail(Code::kInvalidArgument, "the plan allows fewer than 8 open files");
  if (plan.probes.size() > kProbeKinds || !std::ranges::all_of(plan.probes, is_sound))
    return fail(Code::kInvalidArgument, "the plan has a probe that cannot be run");
  return {};
}

const char* step_name(LaunchStep step) {
  switch (step) {
    case LaunchStep::kExec:
      return "execve";
    case LaunchStep::kSession:
      return "setsid";
    case LaunchStep::kDescriptors:
      return "descriptors";
    case LaunchStep::kSignals:
      return "signals";
    case LaunchStep::kLimits:
      return "limits";
    case LaunchStep::kIdentity:
      return "uid and gid";
    case LaunchStep::kDirectory:
      return "working directory";
    case LaunchStep::kCapabilities:
      return "capabilities";
    case LaunchStep::kNoNewPrivileges:
      return "no_new_privs";
    case LaunchStep::kLandlock:
      return "Landlock";
    case LaunchStep::kFilter:
      return "seccomp filter";
    case LaunchStep::kListener:
      return "seccomp listener";
    case LaunchStep::kProber:
      return "prober";
  }
  return "unknown step";
}

Result<Launched> launch_agent(const LaunchPlan& plan, const LandlockDomain& domain,
                              const SeccompFilter& filter) {
  TRY(check_plan(plan));
  Launched ours;
  AgentEnds theirs;
  TRY(make_channels(filter.reports(), !plan.probes.empty(), ours, theirs));
  if (domain.abi() != 0) {
    theirs.ruleset =
        TRY(adopt_fd(::fcntl(domain.ruleset(), F_DUPFD_CLOEXEC, kFirstFreeFd), "fcntl F_DUPFD"));
  }
  auto env = plan.env;
  std::erase_if(env, [](const std::string& entry) { return entry.starts_with("FLODEA_FD="); });
  env.emplace_back("FLODEA_FD=3");
  auto argv = pointers(plan.argv);
  auto envp = pointers(env);
  ProberMemory probes(plan);
  ChildPlan child{.executable = plan.executable.c_str(),
                  .argv = argv.data(),
                  .envp = envp.data(),
                  .cwd = plan.cwd.c_str(),
                  .uid = plan.uid,
                  .gid = plan.gid,
                  .open_files = plan.open_files,
                  .processes = plan.processes,
                  .filter = &filter,
                  .dev_null = theirs.dev_null.get(),
                  .stdout_fd = theirs.stdout_fd.get(),
                  .stderr_fd = theirs.stderr_fd.get(),
                  .calls = theirs.calls.get(),
                  .report = theirs.report.get(),
                  .ruleset = theirs.ruleset.get(),
                  .listener = theirs.listener.get(),
                  .prober = theirs.prober.get(),
                  .probes = &probes.plan};
  pid_t pid = ::_Fork();  // no atfork handlers, no locks: the child makes system calls only
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) run_child(child);
  ours.process = TRY(PidFd::open(pid));
  return ours;
}

}  // namespace flodea::worker
