#include "supervisor/root/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fd_layout.h"

namespace flodea::root {
namespace {

constexpr std::size_t kMaxFds = 8;
constexpr const char* kProgramEnvironment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                                               nullptr};

// What the child needs, laid out before the clone: it allocates nothing.
struct ChildView {
  const ProgramSpec* spec;
  const char* const* argv;
  int null;
  int error_pipe;
};

bool reset_signals() {
  sigset_t none;
  sigemptyset(&none);
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  return ::sigaction(SIGPIPE, &standard, nullptr) == 0 &&
         ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

std::array<std::uint32_t, 2> capability_mask(const std::vector<int>& list) {
  std::array<std::uint32_t, 2> mask{};
  for (int capability : list)
    mask[static_cast<std::size_t>(capability / 32)] |= std::uint32_t{1} << (capability % 32);
  return mask;
}

bool drop_bounding_set(const std::array<std::uint32_t, 2>& kept) {
  for (int c = 0; ::prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; ++c) {
    bool keep = (kept[static_cast<std::size_t>(c / 32)] >> (c % 32) & 1) != 0;
    if (!keep && ::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0) return false;
  }
  return true;
}

bool become(const Identity& identity, const std::vector<int>& ambient) {
  auto mask = capability_mask(ambient);
  if (!drop_bounding_set(mask) || ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return false;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(identity.gid, identity.gid, identity.gid) != 0)
    return false;
  if (::setresuid(identity.uid, identity.uid, identity.uid) != 0) return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {{mask[0], mask[0], mask[0]}, {mask[1], mask[1], mask[1]}};
  if (::syscall(SYS_capset, &header, data) != 0) return false;
  return std::ranges::all_of(
             ambient,
             [](int c) { return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) == 0; }) &&
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool place_descriptors(const ChildView& view) {
  std::array<int, kMaxFds> high{};
  for (std::size_t i = 0; i < view.spec->fds.size(); ++i) {
    high[i] = ::fcntl(view.spec->fds[i].first, F_DUPFD_CLOEXEC, fd_layout::kHigh);
    if (high[i] < 0) return false;
  }
  int last = STDERR_FILENO;
  for (std::size_t i = 0; i < view.spec->fds.size(); ++i) {
    int number = view.spec->fds[i].second;
    if (::dup2(high[i], number) != number) return false;
    last = std::max(last, number);
  }
  return ::dup2(view.null, STDIN_FILENO) == STDIN_FILENO &&
         ::syscall(SYS_close_range, last + 1, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0;
}

bool prepare(const ChildView& view, int& executable, int& error_pipe) {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  executable = ::fcntl(executable, F_DUPFD_CLOEXEC, fd_layout::kHigh);
  error_pipe = ::fcntl(error_pipe, F_DUPFD_CLOEXEC, fd_layout::kHigh);
  if (executable < 0 || !reset_signals() || ::setrlimit(RLIMIT_CORE, &no_core) != 0 ||
      ::chdir("/") != 0)
    return false;
  if (!place_descriptors(view)) return false;
  if (view.spec->identity && !become(*view.spec->identity, view.spec->ambient)) return false;
  // After the change of identity, which clears it.
  return view.spec->parent_death_signal == 0 ||
         ::prctl(PR_SET_PDEATHSIG, view.spec->parent_death_signal, 0, 0, 0) == 0;
}

[[noreturn]] void run_child(const ChildView& view) {
  int executable = view.spec->executable;
  int error_pipe = view.error_pipe;
  if (prepare(view, executable, error_pipe))
    ::syscall(SYS_execveat, executable, "", view.argv, kProgramEnvironment, AT_EMPTY_PATH);
  int error = errno;
  [[maybe_unused]] ssize_t n = ::write(error_pipe, &error, sizeof error);
  ::_exit(127);
}

Result<PidFd> clone_program(const ProgramSpec& spec, const ChildView& view) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_VFORK | (spec.cgroup >= 0 ? CLONE_INTO_CGROUP : 0);
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = spec.cgroup >= 0 ? static_cast<std::uint64_t>(spec.cgroup) : 0;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) run_child(view);
  if (pid < 0) return fail_errno("clone3");
  return PidFd(UniqueFd(pidfd), static_cast<pid_t>(pid));
}

}  // namespace

Result<ProgramId> program_id(int executable) {
  struct stat info;
  if (::fstat(executable, &info) != 0) return fail_errno("stat a program");
  return ProgramId{
      .device = info.st_dev,
      .inode = info.st_ino,
      .modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

Result<PidFd> spawn_program(const ProgramSpec& spec) {
  if (spec.fds.size() > kMaxFds || spec.argv.empty())
    return fail(Code::kInternal, "a program needs a name and at most 8 descriptors");
  auto null = TRY(adopt_fd(::open("/dev/null", O_RDWR | O_CLOEXEC), "open /dev/null"));
  auto errors = TRY(make_pipe(O_NONBLOCK));
  std::vector<const char*> argv;
  for (const std::string& word : spec.argv) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  auto child = TRY(clone_program(spec, {&spec, argv.data(), null.get(), errors.second.get()}));
  int error = 0;
  if (::read(errors.first.get(), &error, sizeof error) != sizeof error) return child;
  [[maybe_unused]] auto reaped = child.wait();
  return fail_errno("execute " + spec.argv.front(), error);
}

}  // namespace flodea::root
