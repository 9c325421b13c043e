#include "supervisor/root/sandbox_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace flodea::root {
namespace {

constexpr unsigned long kQuiet = MS_NOSUID | MS_NODEV;

bool wait_for_go(const ChildPlan& plan) {
  UniqueFd closed(plan.go_peer);
  closed.reset();
  char byte;
  if (::read(plan.go, &byte, 1) == 1) return true;
  errno = ECANCELED;  // the parent gave up
  return false;
}

// A session and a keyring of its own; signals as a program expects them, not as flodead has set
// them.
bool take_identity(const ChildPlan&) {
  sigset_t none;
  sigemptyset(&none);
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  if (::sigaction(SIGPIPE, &standard, nullptr) != 0 ||
      ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0)
    return false;
  ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING,
            nullptr);  // without keyrings in the kernel there is none to leave
  ::umask(022);
  return ::setsid() > 0 && ::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0 &&
         ::setgroups(0, nullptr) == 0;
}

bool attach(const TreeMount& mount) {
  return ::move_mount(mount.tree, "", AT_FDCWD, mount.target, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

// A file that was replaced since it was taken (as ldconfig does with ld.so.cache, by rename) cannot
// be mounted any more (ENOENT); the one in its place can. Its owner is nobody here: to map ids is
// the parent's.
bool attach_host_tree(const TreeMount& mount) {
  constexpr int kTries = 3;
  bool attached = attach(mount);
  for (int i = 0; i < kTries && !attached && errno == ENOENT && mount.source != nullptr; ++i) {
    UniqueFd tree(::open_tree(AT_FDCWD, mount.source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    mount_attr attr{
        .attr_set = kReadOnly, .attr_clr = 0, .propagation = MS_PRIVATE, .userns_fd = 0};
    if (!tree.valid()) errno = ENOENT;  // not reached with the ids that this process has by now
    if (!tree.valid() || ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
      return false;
    attached = attach({.tree = tree.get(), .target = mount.target});
  }
  return attached;
}

bool attach_layers(const ChildPlan& plan) {
  for (const TreeMount& layer : plan.layers) {
    if (layer.tree >= 0 && !attach(layer)) return false;
  }
  return true;
}

// An overlay whose upper is locked or wrongly mapped mounts read-only without an error: one file is
// made and removed.
bool writable() {
  struct statvfs fs;
  if (::statvfs(kStageRoot, &fs) != 0) return false;
  if ((fs.f_flag & ST_RDONLY) != 0) {
    errno = EROFS;
    return false;
  }
  constexpr const char* kProbe = "root/.flodea-probe";
  UniqueFd probe(::open(kProbe, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  return probe.valid() && ::unlink(kProbe) == 0;
}

bool mount_overlay(const ChildPlan& plan) {
  return ::mount("overlay", kStageRoot, "overlay", kQuiet, plan.overlay_options) == 0 && writable();
}

bool mount_trees(const ChildPlan& plan) {
  for (const TreeMount& mount : plan.mounts) {
    if (mount.tree >= 0 && !attach_host_tree(mount)) return false;
  }
  return ::mount("devpts", "root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                 "newinstance,ptmxmode=0666,mode=0620") == 0 &&
         ::mount("tmpfs", "root/dev/shm", "tmpfs", kQuiet, plan.tmp_options) == 0 &&
         ::mount("tmpfs", "root/tmp", "tmpfs", kQuiet, plan.tmp_options) == 0;
}

// Before the old root goes: the kernel allows it only where a whole /proc can be seen.
bool mount_proc(const ChildPlan&) {
  return ::mount("proc", "root/proc", "proc", kQuiet | MS_NOEXEC | MS_RDONLY,
                 "subset=pid,hidepid=invisible") == 0;
}

bool pivot(const ChildPlan&) {
  return ::chdir(kStageRoot) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 &&
         ::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0;
}

// The agent's own directory, on its volume since its owner was set there.
bool make_home(const ChildPlan&) {
  struct stat home;
  if (::lstat("/data", &home) != 0) return false;
  if (S_ISDIR(home.st_mode) && home.st_uid == kAgentUid && home.st_gid == kAgentGid) return true;
  return ::chown("/data", kAgentUid, kAgentGid) == 0 && ::chmod("/data", 0700) == 0;
}

bool set_hostname(const ChildPlan& plan) {
  return ::sethostname(plan.hostname, plan.hostname_length) == 0;
}

bool set_limits(const ChildPlan& plan) {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  const rlimit files{.rlim_cur = plan.open_files, .rlim_max = plan.open_files};
  return ::setrlimit(RLIMIT_CORE, &no_core) == 0 && ::setrlimit(RLIMIT_NOFILE, &files) == 0;
}

bool place(int from, int to) {
  if (from >= 0) return ::dup2(from, to) == to;
  UniqueFd closed(to);
  return true;
}

// First all out of the way, then each to its number; what is left over closes at exec.
bool arrange_descriptors(const ChildPlan& plan, int& executable) {
  std::array<int, kWorkerFds> high{};
  for (std::size_t i = 0; i < high.size(); ++i) {
    high[i] = plan.worker_fds[i] < 0
                  ? -1
                  : ::fcntl(plan.worker_fds[i], F_DUPFD_CLOEXEC, fd_layout::kHigh);
    if (high[i] < 0 && plan.worker_fds[i] >= 0) return false;
  }
  executable = ::fcntl(executable, F_DUPFD_CLOEXEC, fd_layout::kHigh);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (executable < 0 || null < 0) return false;
  int high_null = ::fcntl(null, F_DUPFD_CLOEXEC, fd_layout::kHigh);
  for (int i = 0; i < 3; ++i) {
    if (!place(high_null, i)) return false;
  }
  for (std::size_t i = 0; i < high.size(); ++i) {
    if (!place(high[i], fd_layout::worker::kAttach + static_cast<int>(i))) return false;
  }
  return ::syscall(SYS_close_range, fd_layout::worker::kLast + 1, ~0U,
                   4U /* CLOSE_RANGE_CLOEXEC */) == 0;
}

constexpr std::uint32_t bit(int capability) { return std::uint32_t{1} << capability; }
constexpr std::uint32_t kWorkerCapabilities = bit(CAP_KILL) | bit(CAP_SETUID) | bit(CAP_SETGID);

bool set_capabilities(std::uint32_t low, std::uint32_t high, std::uint32_t inheritable) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {{low, low, inheritable}, {high, high, 0}};
  return ::syscall(SYS_capset, &header, data) == 0;
}

// All of it: ambient capabilities pass exec without it, and what the worker starts can have none
// (it could not drop it itself).
bool drop_whole_bounding_set() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return false;
  }
  return true;
}

// uid 0 means nothing any more (NOROOT, locked): the three capabilities pass exec as ambient ones,
// and go when the worker's child becomes the agent's uid, since SETUID_FIXUP stays on and is locked
// so.
bool shed_privileges(const ChildPlan&) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct now[2]{};
  // Inheritable first: what is no longer in the bounding set cannot be added to it.
  if (::syscall(SYS_capget, &header, now) != 0 ||
      !set_capabilities(now[0].permitted, now[1].permitted, kWorkerCapabilities))
    return false;
  if (!drop_whole_bounding_set()) return false;
  for (int capability : {CAP_KILL, CAP_SETUID, CAP_SETGID}) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return false;
  }
  constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  return ::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0) == 0 &&
         set_capabilities(kWorkerCapabilities, 0, kWorkerCapabilities) &&
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

class Reporter {
 public:
  explicit Reporter(int fd) : fd_(fd) {}
  void move_out_of_the_way() { fd_ = ::fcntl(fd_, F_DUPFD_CLOEXEC, fd_layout::kHigh); }

  void done(Step step) {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    report_.ended_ns[static_cast<std::size_t>(step)] = now.tv_sec * 1'000'000'000LL + now.tv_nsec;
  }
  [[noreturn]] void fail(Step step) {
    report_.error = errno;
    send(step);
    ::_exit(127);
  }
  void send(Step step) {
    report_.step = static_cast<std::uint32_t>(step);
    [[maybe_unused]] ssize_t n =
        ::write(fd_, &report_, sizeof report_);  // fits the pipe; nobody reads: the parent is gone
  }

 private:
  int fd_;
  ChildReport report_;
};

struct StepRow {
  Step step;
  bool (*run)(const ChildPlan&);
};
constexpr StepRow kStepRows[] = {
    {Step::kWait, wait_for_go},      {Step::kIdentity, take_identity},
    {Step::kLayers, attach_layers},  {Step::kOverlay, mount_overlay},
    {Step::kMounts, mount_trees},    {Step::kProc, mount_proc},
    {Step::kPivot, pivot},           {Step::kHome, make_home},
    {Step::kHostname, set_hostname},
};

}  // namespace

void run_child(const ChildPlan& plan) {
  Reporter reporter(plan.report);
  for (const StepRow& row : kStepRows) {
    if (!row.run(plan)) reporter.fail(row.step);
    reporter.done(row.step);
  }
  int executable = plan.executable;
  reporter.move_out_of_the_way();
  if (!arrange_descriptors(plan, executable)) reporter.fail(Step::kDescriptors);
  reporter.done(Step::kDescriptors);
  // Only now: until here it has all of flodead's descriptors, more than its own limit allows.
  if (!set_limits(plan)) reporter.fail(Step::kLimits);
  reporter.done(Step::kLimits);
  if (!shed_privileges(plan)) reporter.fail(Step::kPrivileges);
  reporter.done(Step::kPrivileges);
  reporter.send(Step::kPrivileges);
  ::syscall(SYS_execveat, executable, "", plan.argv, plan.envp, AT_EMPTY_PATH);
  reporter.fail(Step::kExec);
}

}  // namespace flodea::root
