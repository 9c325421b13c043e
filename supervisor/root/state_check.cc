#include "supervisor/root/state_check.h"

#include "supervisor/root/boot.h"
#include "supervisor/root/directories.h"
#include "supervisor/root/program_check.h"
#include "supervisor/root/programs.h"

namespace flodea::root {
namespace {

constexpr Nanos kControlDeadline =
    std::chrono::seconds(5);  // less than whoever asks this program gives it

// As its own user, as ever: what state.db says is for no program of root's to read.
OneShot<bool> ask_control(EventLoop& loop, const Programs& programs, const Users& users,
                          const std::string& state_dir) {
  ProgramSpec spec{.executable = programs.control.get(),
                   .argv = {"flodea-control", "--check", "--state-dir", state_dir},
                   .fds = {},
                   .identity = users.control,
                   .ambient = {}};
  return check_program(loop, std::move(spec), kControlDeadline);
}

// What knows no --check says so in other words, of no use to an operator.
Error refusal_of(Error error) {
  if (error.code == Code::kUnimplemented)
    error = fail(Code::kFailedPrecondition,
                 "it is of another version than this flodead (" + error.message + ")")
                .value();
  return std::move(error).with_context("flodea-control");
}

// Runtimes are probed and filters compiled, as the new flodead will, and control is asked whether
// it can read the state: what is wrong is found before anything is given up.
Status try_programs(Programs programs, const Users& users, const std::string& state_dir) {
  auto loop = TRY(EventLoop::create());
  Helpers helpers(*loop, std::move(programs.helper));
  std::map<std::string, UniqueFd> filters;
  const ProgramsDir dir{programs.dir.get(), programs.path};
  Status outcome;
  auto attempt = [&]() -> Detached {
    v1::Host host;
    auto discovering = discover(helpers, dir, filters, host);
    outcome = co_await discovering;
    if (outcome) {
      auto asking = ask_control(*loop, programs, users, state_dir);
      auto answer = co_await asking;
      if (!answer) outcome = tl::unexpected(refusal_of(std::move(answer).error()));
    }
    loop->stop();
  };
  attempt();
  TRY(loop->run());
  return outcome;
}

}  // namespace

Status check_state(const Config& config, const v1::KeptState& state) {
  auto users = TRY(find_users());
  auto programs = TRY(open_programs(config));
  TRY(try_programs(std::move(programs), users, state.state_dir()));
  struct Same {
    const char* name;
    const std::string& now;
    const std::string& kept;
  };
  for (const Same& dir : {Same{"run-dir", config.run_dir, state.run_dir()},
                          Same{"state-dir", config.state_dir, state.state_dir()}}) {
    if (TRY(absolute_path(dir.now)) != dir.kept)
      return fail(Code::kFailedPrecondition, std::string(dir.name) + " is " + dir.kept +
                                                 ", and cannot become " + dir.now +
                                                 " while agents run");
  }
  return {};
}

}  // namespace flodea::root
