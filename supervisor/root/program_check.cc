#include "supervisor/root/program_check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>

namespace flodea::root {
namespace {

constexpr std::string_view kError = "error=\"";
constexpr std::size_t kMaxLog = 16 * 1024;  // of which the end is kept

struct Check {
  explicit Check(EventLoop& loop) : loop(loop), done(loop) {}
  EventLoop& loop;
  OneShot<bool> done;
  PidFd process;
  UniqueFd log;
  std::string text;
  EventLoop::TimerId timer = 0;
  bool killed = false;
};

tl::unexpected<Error> refused(const std::string& why) {
  return fail(Code::kFailedPrecondition, why);
}

// What its children may still hold open is not waited for.
void read_log(Check& check) {
  char buffer[4096];
  for (ssize_t n; (n = ::read(check.log.get(), buffer, sizeof buffer)) > 0;) {
    check.text.append(buffer, static_cast<std::size_t>(n));
    if (check.text.size() > kMaxLog) check.text.erase(0, check.text.size() - kMaxLog);
  }
}

void finish(Check& check) {
  auto status = check.process.wait_no_hang();
  if (!status && status.error().code == Code::kUnavailable) return;
  read_log(check);
  check.loop.unwatch(check.process.get());
  check.loop.unwatch(check.log.get());
  check.loop.cancel(check.timer);
  std::string reason = reason_of(check.text);
  const bool says_why = check.text.find(kError) != std::string::npos;
  if (check.killed) return check.done.set(refused("it did not answer in time"));
  if (status && status->success()) return check.done.set(true);
  if (reason.empty() && status)
    reason = (status->signaled ? "signal " : "exit status ") + std::to_string(status->value);
  check.done.set(says_why ? refused(reason) : fail(Code::kUnimplemented, reason));
}

Status follow(EventLoop& loop, const std::shared_ptr<Check>& check, Nanos deadline) {
  TRY(loop.watch(check->process.get(), EPOLLIN, [check](std::uint32_t) { finish(*check); }));
  TRY(loop.watch(check->log.get(), EPOLLIN, [check](std::uint32_t events) {
    read_log(*check);
    if ((events & EPOLLHUP) != 0) check->loop.unwatch(check->log.get());
  }));
  check->timer = loop.call_after(deadline, [check] {
    check->killed = true;
    [[maybe_unused]] auto sent = check->process.send_signal(SIGKILL);
  });
  return {};
}

Status start(ProgramSpec& spec, Check& check) {
  auto log = TRY(make_pipe(O_NONBLOCK));
  spec.fds.emplace_back(log.second.get(), STDERR_FILENO);
  check.process = TRY(spawn_program(spec));
  check.log = std::move(log.first);
  return {};
}

}  // namespace

std::string reason_of(std::string_view log) {
  while (log.ends_with('\n')) log.remove_suffix(1);
  std::size_t line = log.rfind('\n');
  if (line != std::string_view::npos) log.remove_prefix(line + 1);
  std::size_t at = log.find(kError);
  if (at == std::string_view::npos) return std::string(log);
  log.remove_prefix(at + kError.size());
  return std::string(log.substr(0, log.rfind('"')));
}

OneShot<bool> check_program(EventLoop& loop, ProgramSpec spec, Nanos deadline) {
  auto check = std::make_shared<Check>(loop);
  OneShot<bool> done = check->done;
  auto started = start(spec, *check);
  if (!started) {
    done.set(refused(started.error().message));
    return done;
  }
  if (auto followed = follow(loop, check, deadline); !followed) {
    [[maybe_unused]] auto sent = check->process.send_signal(SIGKILL);
    [[maybe_unused]] auto ended = check->process.wait();
    done.set(tl::unexpected(std::move(followed).error()));
  }
  return done;
}

}  // namespace flodea::root
