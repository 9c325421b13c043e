#include "supervisor/vault/restrict.h"

#include <linux/close_range.h>
#include <malloc.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace flodea::vault {
namespace {

struct Allowed {
  int call;
  const char* reason;
};

constexpr Allowed kAllowed[] = {
    {SCMP_SYS(read), "requests of the kernel on /dev/fuse, event counters, key files"},
    {SCMP_SYS(write), "key files, image headers, log lines, FUSE_NOTIFY_RESEND"},
    {SCMP_SYS(writev), "replies on /dev/fuse"},
    {SCMP_SYS(io_submit), "ciphertext from and to images, an agent's fsync"},
    {SCMP_SYS(io_getevents), "the completion of these"},
    {SCMP_SYS(io_destroy), "ending"},
    {SCMP_SYS(pread64), "image headers, pieces of blocks, the rest of a short read"},
    {SCMP_SYS(pwrite64), "pieces of blocks, the rest of a short write"},
    {SCMP_SYS(fsync), "keys and new images are durable before they are announced"},
    {SCMP_SYS(fallocate), "reserving an image, discarding blocks of one"},
    {SCMP_SYS(openat2), "below the two directories it holds; base/safe_path.h"},
    {SCMP_SYS(newfstatat), "does an image exist"},
    {SCMP_SYS(fstat), "length of images and keys"},
    {SCMP_SYS(fstatfs), "free space, for the message when there is none"},
    {SCMP_SYS(getdents64), "finding wrapped keys and stale temporaries"},
    {SCMP_SYS(renameat), "a file appears whole or not at all"},
    {SCMP_SYS(unlinkat), "destroying keys and images"},
    {SCMP_SYS(close), "files and connections that have ended"},
    {SCMP_SYS(fcntl), "O_NONBLOCK on a connection; libc's directory streams"},
    {SCMP_SYS(recvmsg), "requests of flodead and control"},
    {SCMP_SYS(sendmsg), "replies to them"},
    {SCMP_SYS(epoll_wait), "waiting"},
    {SCMP_SYS(epoll_pwait), "waiting, as libc may spell it"},
    {SCMP_SYS(epoll_ctl), "connections come and go"},
    {SCMP_SYS(futex), "threads"},
    {SCMP_SYS(sched_yield), "threads"},
    {SCMP_SYS(mmap), "memory of keys, buffers, heap"},
    {SCMP_SYS(munmap), "the same"},
    {SCMP_SYS(mremap), "the heap"},
    {SCMP_SYS(mprotect), "guard pages around keys"},
    {SCMP_SYS(madvise), "keys stay out of dumps; freed heap"},
    {SCMP_SYS(mlock), "keys stay out of swap"},
    {SCMP_SYS(munlock), "freeing them"},
    {SCMP_SYS(brk), "the heap"},
    {SCMP_SYS(getrandom), "keys and nonces"},
    {SCMP_SYS(clock_gettime), "times where the vDSO has none"},
    {SCMP_SYS(gettimeofday), "times where the vDSO has none"},
    {SCMP_SYS(gettid), "thread numbers in log lines"},
    {SCMP_SYS(getpid), "libsodium's fork check"},
    {SCMP_SYS(rt_sigreturn), "returning from a signal"},
    {SCMP_SYS(rt_sigprocmask), "ending a thread"},
    {SCMP_SYS(rt_sigaction), "abort()"},
    {SCMP_SYS(tgkill), "abort() of itself"},
    {SCMP_SYS(restart_syscall), "waits interrupted by a stop signal"},
    {SCMP_SYS(exit), "ending a thread"},
    {SCMP_SYS(exit_group), "ending"},
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    {SCMP_SYS(clone), "sanitizer builds: the leak checker's thread"},
    {SCMP_SYS(ptrace), "sanitizer builds: the leak checker"},
    {SCMP_SYS(wait4), "sanitizer builds: the leak checker"},
    {SCMP_SYS(prctl), "sanitizer builds: the leak checker"},
    {SCMP_SYS(process_vm_readv), "sanitizer builds: the leak checker"},
    {SCMP_SYS(openat), "sanitizer builds: /proc/self/maps"},
    {SCMP_SYS(open), "sanitizer builds: /proc/self/maps"},
    {SCMP_SYS(readlink), "sanitizer builds: symbolising"},
    {SCMP_SYS(sigaltstack), "sanitizer builds: threads"},
    {SCMP_SYS(lseek), "sanitizer builds: symbolising"},
    {SCMP_SYS(getppid), "sanitizer builds: the leak checker"},
    {SCMP_SYS(sched_getaffinity), "sanitizer builds"},
    {SCMP_SYS(prlimit64), "sanitizer builds"},
#endif
};

Status seccomp_error(const char* what, int returned) { return fail_errno(what, -returned); }

}  // namespace

Status forbid_dumps_and_privileges() {
  rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("RLIMIT_CORE 0");
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("PR_SET_DUMPABLE 0");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("PR_SET_NO_NEW_PRIVS");
  return {};
}

Status lock_memory() {
  ::mallopt(M_ARENA_MAX, 1);  // a heap per thread would be locked too
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return fail_errno("mlockall (needs CAP_IPC_LOCK)");
  return {};
}

Status close_from(int first) {
  if (::close_range(static_cast<unsigned>(first), ~0u, 0) != 0) return fail_errno("close_range");
  return {};
}

Status load_seccomp_filter() {
  std::unique_ptr<void, void (*)(void*)> filter(::seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                ::seccomp_release);
  if (!filter) return fail(Code::kInternal, "seccomp_init failed");
  if (int r = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); r != 0)
    return seccomp_error("seccomp TSYNC", r);
  for (const Allowed& allowed : kAllowed)
    if (int r = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, allowed.call, 0); r != 0)
      return seccomp_error(allowed.reason, r);
  if (int r = ::seccomp_load(filter.get()); r != 0) return seccomp_error("seccomp_load", r);
  return {};
}

}  // namespace flodea::vault
