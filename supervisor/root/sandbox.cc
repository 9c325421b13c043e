#include "supervisor/root/sandbox.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/safe_path.h"

namespace flodea::root {
namespace {

constexpr std::uint64_t kNamespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                                      CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME;
constexpr const char* kArgv[] = {"flodea-worker", nullptr};
constexpr const char* kWorkerEnvironment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
                                              nullptr};

std::int64_t monotonic_ns() { return SystemClock().monotonic().count(); }

class Stopwatch {
 public:
  explicit Stopwatch(std::vector<PhaseTime>& phases) : phases_(phases), last_(monotonic_ns()) {}
  void lap(const char* name) {
    std::int64_t now = monotonic_ns();
    phases_.push_back({name, static_cast<std::uint64_t>(now - std::exchange(last_, now))});
  }

 private:
  std::vector<PhaseTime>& phases_;
  std::int64_t last_;
};

// A mount of `path` that is attached nowhere and shares nothing with where it came from.
Result<UniqueFd> clone_tree(int dir, const char* path, unsigned flags) {
  return adopt_fd(::open_tree(dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags),
                  std::string("open_tree ") + path);
}

Status set_attributes(int tree, std::uint64_t attributes) {
  mount_attr attr{.attr_set = attributes, .attr_clr = 0, .propagation = MS_PRIVATE, .userns_fd = 0};
  if (::mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail_errno("mount_setattr");
  return {};
}

Status map_ids(int tree, int userns) {
  mount_attr attr{.attr_set = MOUNT_ATTR_IDMAP,
                  .attr_clr = 0,
                  .propagation = 0,
                  .userns_fd = static_cast<__u64>(userns)};
  if (::mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail_errno("map the mount's ids");
  return {};
}

struct Trees {
  UniqueFd bundle;
  std::vector<UniqueFd> layers;
  UniqueFd skeleton;
  std::vector<UniqueFd> host;
};

Result<Trees> clone_trees(const SandboxTemplate& shared, const SandboxRequest& request) {
  Trees trees;
  trees.bundle = TRY(clone_tree(request.bundle, "", AT_EMPTY_PATH));
  trees.skeleton = TRY(clone_tree(AT_FDCWD, shared.skeleton.c_str(), 0));
  TRY(set_attributes(trees.bundle.get(), kReadOnly));
  for (int layer : request.layers) {
    trees.layers.push_back(TRY(clone_tree(layer, "", AT_EMPTY_PATH)));
    TRY(set_attributes(trees.layers.back().get(), kReadOnly));
  }
  TRY(set_attributes(trees.skeleton.get(), kReadOnly));
  TRY(set_attributes(request.volume, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  for (const HostTree& tree : shared.trees) {
    trees.host.push_back(TRY(clone_tree(AT_FDCWD, tree.source.c_str(), 0)));
    TRY(set_attributes(
        trees.host.back().get(),
        tree.devices ? MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC : kReadOnly));
  }
  return trees;
}

// Layers must be mapped, or the agent could not write; a tree of the host may be of a file system
// that cannot (EINVAL).
Status map_trees(const SandboxTemplate& shared, const SandboxRequest& request, const Trees& trees,
                 int userns) {
  TRY_CONTEXT(map_ids(request.volume, userns), "volume");
  TRY_CONTEXT(map_ids(trees.skeleton.get(), userns), "skeleton");
  TRY_CONTEXT(map_ids(trees.bundle.get(), userns), "bundle");
  for (const UniqueFd& layer : trees.layers) TRY_CONTEXT(map_ids(layer.get(), userns), "layer");
  for (std::size_t i = 0; i < trees.host.size(); ++i) {
    if (shared.trees[i].devices) continue;  // its owners mean nothing: every node is open to all
    auto mapped = map_ids(trees.host[i].get(), userns);
    if (!mapped && mapped.error().sys_errno != EINVAL) return mapped;
  }
  return {};
}

ChildPlan make_plan(const SandboxTemplate& shared, const SandboxRequest& request,
                    const Trees& trees) {
  ChildPlan plan;
  plan.layers = {TreeMount{trees.bundle.get(), kStageBundle},
                 TreeMount{trees.skeleton.get(), kStageSkeleton},
                 TreeMount{request.volume, kStageVolume}};
  for (std::size_t i = 0; i < trees.layers.size(); ++i)
    plan.layers[3 + i] = {trees.layers[i].get(), kStageLayers[i]};
  for (std::size_t i = 0; i < trees.host.size(); ++i) {
    const HostTree& tree = shared.trees[i];
    plan.mounts[i] = {.tree = trees.host[i].get(),
                      .target = tree.target.c_str(),
                      .source = tree.devices ? nullptr : tree.source.c_str()};
  }
  plan.hostname = request.hostname.c_str();
  plan.hostname_length = request.hostname.size();
  plan.open_files = request.open_files;
  plan.worker_fds = request.worker_fds;
  plan.executable = shared.worker.get();
  plan.argv = kArgv;
  plan.envp = kWorkerEnvironment;
  return plan;
}

// In the agent's network namespace for one clone3. Not to come back is a broken invariant:
// everything after would be misplaced.
Result<PidFd> clone_child(const SandboxTemplate& shared, const SandboxRequest& request,
                          const ChildPlan& plan) {
  int pidfd = -1;
  clone_args args{};
  args.flags = kNamespaces | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<std::uint64_t>(request.group->unified_dir());
  if (::setns(request.netns, CLONE_NEWNET) != 0)
    return fail_errno("setns to the agent's network namespace");
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) run_child(plan);
  int clone_errno = errno;
  if (::setns(shared.own_netns.get(), CLONE_NEWNET) != 0) std::abort();
  if (pid < 0) return fail_errno("clone3", clone_errno);
  return PidFd(UniqueFd(pidfd), static_cast<pid_t>(pid));
}

Result<UniqueFd> open_proc(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid);
  return adopt_fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open " + path);
}

Status write_map(int proc, const char* file, UidRange range) {
  std::string map =
      "0 " + std::to_string(range.base) + " " + std::to_string(UidRange::kSize) + "\n";
  auto fd = TRY(adopt_fd(::openat(proc, file, O_WRONLY | O_CLOEXEC), std::string("open ") + file));
  TRY_CONTEXT(write_all(fd.get(), map), file);
  return {};
}

struct Pipes {
  FdPair go;
  FdPair report;
};

// With the child waiting: maps, v1 groups, mounts mapped to its user namespace; then it may go.
Status admit(const SandboxTemplate& shared, const SandboxRequest& request, const Trees& trees,
             pid_t pid, Stopwatch& watch) {
  auto proc = TRY(open_proc(pid));
  TRY(write_map(proc.get(), "uid_map", request.range));
  TRY(write_map(proc.get(), "gid_map", request.range));
  watch.lap("id maps");
  TRY(request.group->add_to_v1(pid));
  watch.lap("cgroup");
  auto userns = TRY(
      adopt_fd(::openat(proc.get(), "ns/user", O_RDONLY | O_CLOEXEC), "open the user namespace"));
  TRY(map_trees(shared, request, trees, userns.get()));
  watch.lap("idmapped mounts");
  return {};
}

}  // namespace

Result<LaunchedSandbox> launch_sandbox(const SandboxTemplate& shared,
                                       const SandboxRequest& request) {
  LaunchedSandbox sandbox;
  Stopwatch watch(sandbox.phases);
  if (shared.trees.size() > ChildPlan().mounts.size() || request.layers.size() > kMaxLayers)
    return fail(Code::kInternal, "too many trees of the host, or layers");
  auto trees = TRY(clone_trees(shared, request));
  Pipes pipes{TRY(make_pipe()), TRY(make_pipe(O_NONBLOCK))};
  std::string overlay_options = "lowerdir=";
  for (std::size_t i = 0; i < request.layers.size(); ++i)
    overlay_options += std::string(kStageLayers[i]) + ":";
  overlay_options += kOverlayOptions;
  std::string tmp_options = "size=" + std::to_string(request.tmp_bytes) + ",mode=1777";
  ChildPlan plan = make_plan(shared, request, trees);
  plan.go = pipes.go.first.get();
  plan.go_peer = pipes.go.second.get();
  plan.report = pipes.report.second.get();
  plan.overlay_options = overlay_options.c_str();
  plan.tmp_options = tmp_options.c_str();
  watch.lap("trees");
  sandbox.worker = TRY(clone_child(shared, request, plan));
  watch.lap("clone");
  auto admitted = admit(shared, request, trees, sandbox.worker.pid(), watch);
  sandbox.go_ns = monotonic_ns();
  if (admitted) admitted = write_all(pipes.go.second.get(), "g");
  if (!admitted) {
    // The child waits for its byte and has run nothing of the agent's: killed and reaped here it
    // ends at once.
    [[maybe_unused]] auto killed = sandbox.worker.send_signal(SIGKILL);
    [[maybe_unused]] auto reaped = sandbox.worker.wait();
    return tl::unexpected(std::move(admitted).error());
  }
  sandbox.report = std::move(pipes.report.first);
  return sandbox;
}

SetupOutcome read_setup_outcome(std::string_view bytes, std::int64_t go_ns) {
  SetupOutcome outcome{
      .executed = false, .failed_step = kStepNames[0], .error = ECHILD};  // ended without a word
  for (; bytes.size() >= sizeof(ChildReport); bytes.remove_prefix(sizeof(ChildReport))) {
    ChildReport report;
    std::memcpy(&report, bytes.data(), sizeof report);
    if (report.step >= kStepCount) continue;
    outcome.executed = report.error == 0;
    outcome.error = report.error;
    outcome.failed_step = report.error == 0 ? "" : kStepNames[report.step];
    outcome.phases.clear();
    std::int64_t last = go_ns;
    for (std::size_t i = 1; i < kStepCount; ++i) {
      if (report.ended_ns[i] == 0) continue;
      outcome.phases.push_back(
          {kStepNames[i], static_cast<std::uint64_t>(report.ended_ns[i] -
                                                     std::exchange(last, report.ended_ns[i]))});
    }
  }
  return outcome;
}

}  // namespace flodea::root
