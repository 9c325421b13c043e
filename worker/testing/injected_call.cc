#include "worker/testing/injected_call.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

namespace flodea::worker::testing {

#if defined(__x86_64__)

namespace {

constexpr long kSyscallInstruction = 0x050f;  // as two little-endian bytes of a word
constexpr int kAttempts = 1000;

Status wait_for_stop(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, __WALL) != pid) return fail_errno("waitpid");
  if (!WIFSTOPPED(status)) return fail(Code::kFailedPrecondition, "the process has ended");
  return {};
}

// Stopped right after a system call: the instruction to make another is the one before.
Result<user_regs_struct> stop_in_a_call(pid_t pid) {
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACESYSGOOD) != 0)
    return fail_errno("PTRACE_SEIZE");
  for (int i = 0; i < kAttempts; ++i) {
    if (::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0)
      return fail_errno("PTRACE_INTERRUPT");
    TRY(wait_for_stop(pid));
    user_regs_struct registers{};
    if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return fail_errno("GETREGS");
    long word = ::ptrace(PTRACE_PEEKTEXT, pid, registers.rip - 2, nullptr);
    if ((word & 0xffff) == kSyscallInstruction) return registers;
    if (::ptrace(PTRACE_CONT, pid, nullptr, nullptr) != 0) return fail_errno("PTRACE_CONT");
  }
  return fail(Code::kDeadlineExceeded, "the process is never in a system call");
}

Status place_path(pid_t pid, const char* path, user_regs_struct& registers) {
  constexpr std::uint64_t kBelowRedZone = 256;
  std::uint64_t address = (registers.rsp - kBelowRedZone) & ~std::uint64_t{7};
  long word = 0;
  std::memcpy(&word, path, strnlen(path, sizeof word - 1));
  if (::ptrace(PTRACE_POKEDATA, pid, address, word) != 0) return fail_errno("PTRACE_POKEDATA");
  registers.rsi = address;
  return {};
}

}  // namespace

Result<long> inject(const PidFd& process, const InjectedCall& call) {
  pid_t pid = process.pid();
  auto registers = TRY(stop_in_a_call(pid));
  registers.rip -= 2;
  registers.orig_rax = ~0ULL;  // nothing of the interrupted call is to be restarted
  registers.rax = static_cast<std::uint64_t>(call.number);
  registers.rdi = call.arguments[0];
  registers.rsi = call.arguments[1];
  registers.rdx = call.arguments[2];
  if (call.path != nullptr) TRY(place_path(pid, call.path, registers));
  if (::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) != 0) return fail_errno("PTRACE_SETREGS");
  for (int stop = 0; stop < 2; ++stop) {  // before the call, after it
    if (::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) != 0) return fail_errno("PTRACE_SYSCALL");
    TRY(wait_for_stop(pid));
  }
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return fail_errno("GETREGS");
  return static_cast<long>(registers.rax);
}

#else

Result<long> inject(const PidFd&, const InjectedCall&) {
  return fail(Code::kUnimplemented, "inject knows the registers of x86-64 only");
}

#endif

}  // namespace flodea::worker::testing
