#include "supervisor/root/reload.h"

#include <fcntl.h>
#include <limits.h>
#include <spdlog/spdlog.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "base/number.h"
#include "supervisor/root/kept_state.h"
#include "supervisor/root/program_check.h"

namespace flodea::root {
namespace {

constexpr Nanos kLookAgain = std::chrono::milliseconds(2);
// Behind 0, 1 and 2 in the child that is asked.
constexpr int kCheckedState = 3;

tl::unexpected<Error> refused(const std::string& why, const std::string& remedy) {
  auto error = fail(Code::kFailedPrecondition, why).value();
  return tl::unexpected(std::move(error).with_remedy(remedy));
}

Result<UniqueFd> open_program(const std::string& path) {
  auto fd = adopt_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path);
  if (!fd) return tl::unexpected(std::move(fd).error().with_remedy("install flodead there again"));
  return fd;
}

OneShot<bool> after(EventLoop& loop, Nanos delay) {
  OneShot<bool> later(loop);
  loop.call_after(delay, [later]() mutable { later.set(true); });
  return later;
}

}  // namespace

static bool is_ours(std::string_view word) { return word == "--resume" || word == "--check-state"; }

int kept_state_argument(int argc, const char* const* argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (!is_ours(argv[i])) continue;
    return parse_number<int>(argv[i + 1]).value_or(-1);
  }
  return -1;
}

std::vector<std::string> own_arguments(int argc, const char* const* argv) {
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    std::string word = argv[i];
    if (is_ours(word))
      ++i;  // and its descriptor
    else
      words.push_back(std::move(word));
  }
  return words;
}

Result<std::string> own_program_path() {
  const char* executed = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (executed != nullptr && executed[0] == '/' &&
      !std::string_view(executed).starts_with("/dev/fd/"))
    return std::string(executed);
  char path[PATH_MAX];
  if (executed != nullptr && executed[0] != '/' && ::realpath(executed, path) != nullptr)
    return std::string(path);
  ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == sizeof path) return fail_errno("readlink /proc/self/exe");
  return std::string(path, static_cast<std::size_t>(n));
}

std::vector<std::string> Reload::words(const char* option, int fd) const {
  std::vector<std::string> words = parts_.arguments;
  words.emplace_back(option);
  words.push_back(std::to_string(fd));
  return words;
}

v1::KeptState Reload::state() const {
  v1::KeptState state = parts_.supervisor.keep();
  state.set_version(kKeptStateVersion);
  state.set_program(parts_.program);
  state.set_directory(parts_.directory);
  state.set_run_dir(parts_.run_dir);
  state.set_state_dir(parts_.state_dir);
  state.set_lock(parts_.lock);
  state.set_operators(parts_.operators);
  state.set_reloads(parts_.reloads);
  return state;
}

Detached Reload::run_for_signal() {
  auto running = run();
  [[maybe_unused]] auto came_back = co_await running;
}

Async<void> Reload::run() {
  if (under_way_) co_return fail(Code::kFailedPrecondition, "another reload is under way");
  under_way_ = true;
  spdlog::info("state=reloading program={}", parts_.program);
  auto attempting = attempt();
  auto outcome = co_await attempting;
  under_way_ = false;
  std::string why = outcome.error().describe();
  spdlog::error("error=\"reload refused: {}\"", why);
  parts_.supervisor.announce_self("reload refused: " + why);
  co_return std::move(outcome);
}

Async<void> Reload::attempt() {
  CO_TRY(auto program, open_program(parts_.program));
  auto checking = check(program.get());
  CO_CHECK(co_await checking);
  parts_.supervisor.hold_starts(true);
  auto waiting = wait_until_quiet();
  Status ready = co_await waiting;
  const bool went_on = ready.has_value();
  // Meanwhile some agent may have ended, or control died by itself and come again.
  for (bool alone = false; ready && !alone; alone = !parts_.supervisor.control_runs()) {
    auto ending = parts_.supervisor.end_control();
    [[maybe_unused]] auto ended = co_await ending;
    auto again = wait_until_quiet();
    ready = co_await again;
  }
  if (ready) ready = execute(program.get());  // comes back with an error only
  if (went_on) parts_.supervisor.begin_control_again();
  parts_.supervisor.hold_starts(false);
  co_return std::move(ready);
}

Async<void> Reload::check(int program) {
  CO_TRY(auto state_fd, write_kept_state(state()));
  ProgramSpec spec{.executable = program,
                   .argv = words("--check-state", kCheckedState),
                   .fds = {{state_fd.get(), kCheckedState}},
                   .identity = {},
                   .ambient = {}};
  auto checking = check_program(parts_.loop, std::move(spec), kCheckDeadline);
  auto checked = co_await checking;
  if (checked) co_return Status{};
  co_return tl::unexpected(std::move(checked)
                               .error()
                               .with_context("the program on disk cannot take over")
                               .with_remedy("install the programs again; the agents go on"));
}

Async<void> Reload::wait_until_quiet() {
  SystemClock clock;
  Nanos end = clock.monotonic() + kQuietDeadline;
  for (;;) {
    if (parts_.supervisor.stopping())
      co_return fail(Code::kUnavailable, "flodead is shutting down");
    std::string busy = parts_.supervisor.under_way();
    if (busy.empty()) busy = parts_.helpers.under_way();
    if (busy.empty()) co_return Status{};
    if (clock.monotonic() >= end)
      co_return refused("it is still under way: " + busy, "reload again when it has ended");
    auto later = after(parts_.loop, kLookAgain);
    [[maybe_unused]] auto waited = co_await later;
  }
}

Status Reload::execute(int program) {
  parts_.helpers.dismiss_ready();
  v1::KeptState kept = state();
  auto state_fd = write_kept_state(kept);
  Status done;
  if (!state_fd) {
    done = tl::unexpected(std::move(state_fd).error());
  } else if (done = set_close_on_exec(kept, false); done) {
    ::fcntl(state_fd->get(), F_SETFD, 0);
    std::vector<std::string> text = words("--resume", state_fd->get());
    std::vector<char*> argv;
    for (std::string& word : text) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::syscall(SYS_execveat, program, "", argv.data(), environ, AT_EMPTY_PATH);
    done = fail_errno("execute " + parts_.program);
  }
  [[maybe_unused]] auto closed = set_close_on_exec(kept, true);
  parts_.helpers.keep_one_ready();
  return done;
}

}  // namespace flodea::root
