#include "supervisor/helper/job.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/safe_path.h"
#include "policy/seccomp_profile.h"

namespace flodea::helper {
namespace {

// Where the job's root is put together: any directory that every host has; only this process's
// mount namespace sees it.
constexpr const char* kRoot = "/run";
constexpr const char* kRootOptions = "mode=0755,size=16k,nr_inodes=8";
constexpr std::uint64_t kReadOnly =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr rlim_t kOpenFiles = 64;
constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, Linux 6.3; not in Debian 12's headers
constexpr int kProgramFd = 3;        // as policy/profiles/job.json has it

Status set_read_only(int tree) {
  mount_attr attr{.attr_set = kReadOnly, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if (::mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail_errno("make a mount read-only");
  return {};
}

Status make_root(int bundle) {
  // First: only a mount of one's own mount namespace can be cloned.
  auto tree = TRY(adopt_fd(
      ::open_tree(bundle, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), "open_tree"));
  TRY(set_read_only(tree.get()));
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0)
    return fail_errno("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno("make the mount tree private");
  if (::mount("tmpfs", kRoot, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, kRootOptions) != 0)
    return fail_errno("mount the job's root");
  auto root = TRY(adopt_fd(::open(kRoot, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open the root"));
  TRY(make_dir(root.get(), "bundle", 0755));
  if (::move_mount(tree.get(), "", root.get(), "bundle", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno("mount the bundle");
  return set_read_only(root.get());
}

Result<UniqueFd> make_output(const char* name) {
  UniqueFd output(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal));
  if (output || errno != EINVAL) return adopt_fd(output.release(), "memfd_create");
  return adopt_fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");  // < 6.3
}

Result<UniqueFd> seal(UniqueFd output) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(output.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("seal the job's output");
  return output;
}

Result<UniqueFd> open_input(const JobPlan& plan) {
  if (plan.input.empty())
    return adopt_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open /dev/null");
  auto file = TRY(open_beneath(plan.bundle, plan.input, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return fail_errno("fstat " + plan.input);
  if (!S_ISREG(info.st_mode))
    return fail(Code::kInvalidArgument, plan.input + " is not a regular file");
  return file;
}

Result<std::vector<sock_filter>> read_filter(int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return fail_errno("fstat the job's filter");
  auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0 || size % sizeof(sock_filter) != 0 || size > BPF_MAXINSNS * sizeof(sock_filter))
    return fail(Code::kInvalidArgument, "the job's filter has " + std::to_string(size) + " bytes");
  std::vector<sock_filter> code(size / sizeof(sock_filter));
  if (::pread(fd, code.data(), size, 0) != static_cast<ssize_t>(size))
    return fail_errno("read the job's filter");
  return code;
}

// Laid out before the clone; after it each step is system calls.
struct ChildView {
  const JobPlan* plan;
  sock_fprog filter;
  const char* const* argv;
  int program, input, output, messages;
};

bool enter_root() {
  return ::chdir(kRoot) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 &&
         ::umount2(".", MNT_DETACH) == 0 && ::chdir("/bundle") == 0;
}

bool set_limits(const JobPlan& plan) {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  const rlimit files{.rlim_cur = kOpenFiles, .rlim_max = kOpenFiles};
  const rlimit output{.rlim_cur = plan.output_bytes, .rlim_max = plan.output_bytes};
  return ::setrlimit(RLIMIT_CORE, &no_core) == 0 && ::setrlimit(RLIMIT_NOFILE, &files) == 0 &&
         ::setrlimit(RLIMIT_FSIZE, &output) == 0;
}

bool place_descriptors(const ChildView& view) {
  constexpr int kAbove = 32;
  int program = ::fcntl(view.program, F_DUPFD_CLOEXEC, kAbove);
  int input = ::fcntl(view.input, F_DUPFD_CLOEXEC, kAbove);
  int output = ::fcntl(view.output, F_DUPFD_CLOEXEC, kAbove);
  int messages = ::fcntl(view.messages, F_DUPFD_CLOEXEC, kAbove);
  if (program < 0 || input < 0 || output < 0 || messages < 0) return false;
  if (::dup2(input, 0) != 0 || ::dup2(output, 1) != 1 || ::dup2(messages, 2) != 2) return false;
  if (::dup3(program, kProgramFd, O_CLOEXEC) != kProgramFd) return false;
  return ::syscall(SYS_close_range, kProgramFd + 1, ~0U, 0) == 0;
}

bool drop_privileges(const JobPlan& plan) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return false;
  }
  return ::setgroups(0, nullptr) == 0 && ::setresgid(plan.uid, plan.uid, plan.uid) == 0 &&
         ::setresuid(plan.uid, plan.uid, plan.uid) == 0 &&
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

[[noreturn]] void run_child(const ChildView& view) {
  static const char* const envp[] = {"LANG=C.UTF-8", nullptr};
  // The child of a process that is killed must not outlive it; its cgroup is killed as well.
  bool ready = ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && enter_root() &&
               set_limits(*view.plan) && place_descriptors(view) && drop_privileges(*view.plan) &&
               ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
               ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &view.filter) == 0;
  if (ready) ::syscall(SYS_execveat, kProgramFd, "", view.argv, envp, AT_EMPTY_PATH);
  ::_exit(EndedJob::kNotRun);
}

Result<PidFd> clone_job(const ChildView& view) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_NEWPID;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) run_child(view);
  if (pid < 0) return fail_errno("clone3");
  return PidFd(UniqueFd(pidfd), static_cast<pid_t>(pid));
}

}  // namespace

Result<EndedJob> run_job(const JobPlan& plan) {
  // Nobody but flodead keeps a job's deadline.
  pid_t flodead = ::getppid();
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || flodead != ::getppid() || flodead == 1)
    return fail(Code::kAborted, "flodead is gone");
  if (plan.uid == 0) return fail(Code::kInvalidArgument, "a job is never root");
  auto input = TRY(open_input(plan));
  auto filter = TRY(read_filter(plan.filter));
  auto output = TRY(make_output("job-output"));
  auto messages = TRY(make_output("job-messages"));
  TRY(make_root(plan.bundle));
  std::vector<const char*> argv{plan.name.c_str()};
  for (const std::string& word : plan.arguments) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  ChildView view{
      .plan = &plan,
      .filter = {.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()},
      .argv = argv.data(),
      .program = plan.program,
      .input = input.get(),
      .output = output.get(),
      .messages = messages.get()};
  auto job = TRY(clone_job(view));
  auto status = TRY(job.wait());
  if (!status.signaled && status.value == EndedJob::kNotRun)
    return fail(Code::kInternal, "the sandbox of job " + plan.name + " could not be made");
  return EndedJob{.status = status,
                  .output = TRY(seal(std::move(output))),
                  .messages = TRY(seal(std::move(messages)))};
}

}  // namespace flodea::helper
