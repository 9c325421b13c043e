// Between fork and execve: system calls alone, no allocation, no lock, no library call that could
// take one. `setresuid` and its kin are called by number, since glibc's would signal threads that
// are not there.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include <cerrno>
#include <cstring>

#include "base/fd_layout.h"
#include "worker/launcher.h"

namespace flodea::worker {
namespace {

void report(LaunchStep step, int error) {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  LaunchReport record{
      .step = step, .error = error, .boot_ns = now.tv_sec * 1'000'000'000LL + now.tv_nsec};
  [[maybe_unused]] ssize_t n = ::write(kReportFd, &record, sizeof record);
}

[[noreturn]] void give_up(LaunchStep step, int error = errno) {
  report(step, error);
  ::_exit(127);
}

// To its number; a descriptor that is not there leaves none of the worker's there.
bool place(int fd, int number) {
  if (fd >= 0) return ::dup3(fd, number, O_CLOEXEC) >= 0;
  return ::syscall(SYS_close_range, number, number, 0) == 0;
}

void arrange_descriptors(const ChildPlan& plan) {
  bool ok = place(plan.report, kReportFd);  // first, so that the rest can be told
  ok = ok && place(plan.ruleset, kRulesetFd) && place(plan.listener, kListenerFd) &&
       place(plan.prober, kProberFd);
  ok = ok && ::dup3(plan.dev_null, 0, 0) >= 0 && ::dup3(plan.stdout_fd, 1, 0) >= 0 &&
       ::dup3(plan.stderr_fd, 2, 0) >= 0 && ::dup3(plan.calls, fd_layout::agent::kCalls, 0) >= 0;
  if (!ok || ::syscall(SYS_close_range, kFirstFreeFd, ~0U, 0) != 0)
    give_up(LaunchStep::kDescriptors);
}

// Blocked and ignored signals would pass through execve.
void reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal)
    ::sigaction(signal, &action, nullptr);  // SIGKILL and SIGSTOP say EINVAL
  sigset_t none;
  ::sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) give_up(LaunchStep::kSignals);
}

void set_limit(int resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0)
    give_up(LaunchStep::kLimits);
  limit.rlim_cur = limit.rlim_max = value < limit.rlim_max ? value : limit.rlim_max;
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0)
    give_up(LaunchStep::kLimits);
}

void set_limits(const ChildPlan& plan) {
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_MEMLOCK, 0);
  set_limit(RLIMIT_MSGQUEUE, 0);
  set_limit(RLIMIT_NOFILE, plan.open_files);
  if (plan.processes != 0) set_limit(RLIMIT_NPROC, plan.processes);
}

void become(const ChildPlan& plan) {
  bool ok = ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
            ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) == 0 &&
            ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) == 0;
  if (!ok) give_up(LaunchStep::kIdentity);
}

// Leaving uid 0 has emptied permitted and effective; the rest is emptied here and then looked at:
// what counts is what is.
void drop_capabilities() {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) give_up(LaunchStep::kCapabilities);
  __user_cap_data_struct left[2];
  if (::syscall(SYS_capget, &header, left) != 0) give_up(LaunchStep::kCapabilities);
  if (std::memcmp(left, none, sizeof none) != 0) give_up(LaunchStep::kCapabilities, EPERM);
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) {
    bool raised = ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) > 0;
    if (raised) give_up(LaunchStep::kCapabilities, EPERM);
  }
  int bits = ::prctl(PR_GET_SECUREBITS);
  constexpr int kLocked = SECBIT_NOROOT | SECURE_ALL_LOCKS;
  if (bits < 0 || (bits & kLocked) != kLocked) give_up(LaunchStep::kCapabilities, EPERM);
}

void enter_domain(const ChildPlan& plan) {
  int error = enter_landlock(plan.ruleset < 0 ? -1 : kRulesetFd);
  if (error != 0) give_up(LaunchStep::kLandlock, error);
}

void load_filter(const ChildPlan& plan) {
  int listener = -1;
  int error = plan.filter->load(plan.listener >= 0 ? &listener : nullptr);
  if (error != 0) give_up(LaunchStep::kFilter, error);
  if (plan.listener < 0) return;
  char byte = 0;
  iovec iov{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &listener, sizeof listener);
  if (::sendmsg(kListenerFd, &message, MSG_NOSIGNAL) < 0) give_up(LaunchStep::kListener);
  ::syscall(SYS_close_range, listener, listener, 0);  // it closes on exec all the same
}

// A sibling, after the last restriction: so it is held by the same domain and the same filter.
void start_prober(const ChildPlan& plan) {
  if (plan.prober < 0) return;
  long pid = ::syscall(SYS_clone, CLONE_PARENT, nullptr, nullptr, nullptr, 0);
  if (pid < 0) give_up(LaunchStep::kProber);
  if (pid == 0) run_prober(*plan.probes, kProberFd);
}

}  // namespace

void run_child(const ChildPlan& plan) {
  arrange_descriptors(plan);
  if (::setsid() < 0) give_up(LaunchStep::kSession);
  reset_signals();
  set_limits(plan);
  become(plan);
  if (::chdir(plan.cwd) != 0) give_up(LaunchStep::kDirectory);
  drop_capabilities();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(LaunchStep::kNoNewPrivileges);
  // For the prober; execve makes the agent what its file says.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) give_up(LaunchStep::kProber);
  enter_domain(plan);
  load_filter(plan);
  start_prober(plan);
  report(LaunchStep::kExec, 0);
  ::execve(plan.executable, plan.argv, plan.envp);
  give_up(LaunchStep::kExec);
}

}  // namespace flodea::worker
