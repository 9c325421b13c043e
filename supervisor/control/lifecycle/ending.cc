#include "supervisor/control/lifecycle/ending.h"

#include <cerrno>
#include <csignal>
#include <cstring>

namespace flodea::control {
namespace {

std::string signal_name(std::uint32_t number) {
  const char* name = ::sigabbrev_np(static_cast<int>(number));
  return name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(number);
}

std::string killed_for_memory(const InstanceExit& exit) {
  return std::to_string(exit.oom_kills) +
         (exit.oom_kills == 1 ? " process was" : " processes were") + " killed for memory";
}

Ending exited(const InstanceExit& exit, std::uint32_t code) {
  Ending ending{.blame = code == 0 ? Blame::kSuccess : Blame::kFailure,
                .reason = Reason::kExitCode,
                .message = "exit code " + std::to_string(code),
                .exit_code = static_cast<int>(code)};
  if (exit.oom_kills > 0) ending.message += "; " + killed_for_memory(exit);
  return ending;
}

Ending not_executed(std::uint32_t error, const std::string& executable) {
  bool may_pass = error == EAGAIN || error == ENOMEM || error == ETXTBSY;
  return {.blame = may_pass ? Blame::kFailure : Blame::kHopeless,
          .reason = Reason::kHost,
          .message = "cannot execute " + executable + ": " + std::strerror(static_cast<int>(error)),
          .exit_code = {}};
}

// The worker left no record: it did not see its agent end.
Ending unrecorded(const InstanceExit& exit) {
  if (!exit.status_known)
    return {.blame = Blame::kFailure,
            .reason = Reason::kLost,
            .message = "how it ended is not known",
            .exit_code = {}};
  std::string how = exit.signaled
                        ? "was killed by " + signal_name(static_cast<std::uint32_t>(exit.value))
                        : "ended with exit code " + std::to_string(exit.value);
  return {.blame = Blame::kFailure,
          .reason = Reason::kWorker,
          .message = "its worker " + how,
          .exit_code = {}};
}

Ending recorded(const InstanceExit& exit, const StatusSnapshot& page,
                const std::string& executable) {
  switch (page.exit_kind) {
    case ExitKind::kExited:
      return exited(exit, page.exit_value);
    case ExitKind::kSignaled:
      return {.blame = Blame::kFailure,
              .reason = Reason::kSignal,
              .message = "killed by " + signal_name(page.exit_value),
              .exit_code = {}};
    case ExitKind::kExecFailed:
      return not_executed(page.exit_value, executable);
    case ExitKind::kNone:
      break;
  }
  return unrecorded(exit);
}

// The runtime gave up for want of memory before the kernel had to.
bool gave_up_for_memory(const InstanceExit& exit, const std::optional<StatusSnapshot>& page,
                        const Launched& launched) {
  const OutOfMemorySign& sign = launched.out_of_memory;
  if (!page) return false;
  auto ended = [&](ExitKind kind, int value) {
    return page->exit_kind == kind && page->exit_value == static_cast<std::uint32_t>(value);
  };
  bool said_so = (sign.signal != 0 && ended(ExitKind::kSignaled, sign.signal)) ||
                 (sign.exit_code >= 0 && ended(ExitKind::kExited, sign.exit_code));
  return said_so && exit.memory_peak >= launched.memory_bytes / 1000 * sign.permille;
}

std::string how_it_ended(const StatusSnapshot& page) {
  return page.exit_kind == ExitKind::kSignaled ? signal_name(page.exit_value)
                                               : "exit code " + std::to_string(page.exit_value);
}

bool was_killed(const std::optional<StatusSnapshot>& page) {
  if (!page || page->exit_kind == ExitKind::kNone) return true;
  return page->exit_kind == ExitKind::kSignaled && page->exit_value == SIGKILL;
}

}  // namespace

Ending ending_of(const InstanceExit& exit, const std::optional<StatusSnapshot>& page,
                 const Launched& launched) {
  if (exit.killed_by == "vault lost") {
    return {.blame = Blame::kBlameless,
            .reason = Reason::kHost,
            .message = "its encrypted volume could not be served on",
            .exit_code = {}};
  }
  if (exit.killed_by == "deadline")
    return {.blame = Blame::kFailure,
            .reason = Reason::kPolicy,
            .message = "its deadline has passed",
            .exit_code = {}};
  if (exit.oom_kills > 0 && was_killed(page)) {
    return {.blame = Blame::kFailure,
            .reason = Reason::kOom,
            .message = "out of memory: " + killed_for_memory(exit),
            .exit_code = {}};
  }
  if (gave_up_for_memory(exit, page, launched)) {
    return {.blame = Blame::kFailure,
            .reason = Reason::kOom,
            .message = "out of memory: " + std::string(launched.out_of_memory.said) + " (" +
                       how_it_ended(*page) + ")",
            .exit_code = {}};
  }
  return page ? recorded(exit, *page, launched.executable) : unrecorded(exit);
}

Ending ending_of_failed_start(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kPermissionDenied:
    case Code::kFailedPrecondition:
    case Code::kUnimplemented:
    case Code::kDataLoss:
      return {.blame = Blame::kHopeless,
              .reason = Reason::kHost,
              .message = error.describe(),
              .exit_code = {}};
    case Code::kUnavailable:
    case Code::kResourceExhausted:  // a service on its way back, or room that others have to make
      return {.blame = Blame::kBlameless,
              .reason = Reason::kHost,
              .message = error.describe(),
              .exit_code = {}};
    default:
      return {.blame = Blame::kFailure,
              .reason = Reason::kHost,
              .message = error.describe(),
              .exit_code = {}};
  }
}

}  // namespace flodea::control
