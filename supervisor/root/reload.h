// `flodea reload`, SIGHUP: flodead executes itself again, in place, from its program on disk; it
// stays the parent of every worker, and no descriptor of theirs is closed. First the program on
// disk is asked, as a child, whether it could (`--check-state`); then what is under way is waited
// for, control is ended, and the state goes to the new program in a memfd. What refuses, refuses
// before anything has changed. Thread: flodead's.
#pragma once

#include <string>
#include <vector>

#include "supervisor/root/supervisor.h"

namespace flodea::root {

struct ReloadParts {
  EventLoop& loop;
  Helpers& helpers;
  Supervisor& supervisor;
  std::string program;                 // flodead's path, as it was started
  std::string directory;               // its working directory then
  std::vector<std::string> arguments;  // all of them, its own name first
  std::string run_dir;                 // absolute
  std::string state_dir;
  int lock = -1;
  int operators = -1;
  std::uint64_t reloads = 0;
};

class Reload {
 public:
  explicit Reload(ReloadParts parts) : parts_(std::move(parts)) {}

  // Does not come back but with the reason why nothing was done.
  Async<void> run();
  Detached run_for_signal();

  // A new program has this long to say that it can, what is under way this long to end.
  static constexpr Nanos kCheckDeadline = std::chrono::seconds(10);
  static constexpr Nanos kQuietDeadline = std::chrono::seconds(30);

 private:
  Async<void> attempt();
  Async<void> check(int program);
  Async<void> wait_until_quiet();
  Status execute(int program);
  v1::KeptState state() const;
  std::vector<std::string> words(const char* option, int fd) const;

  ReloadParts parts_;
  bool under_way_ = false;
};

// The descriptor behind --resume or --check-state, which is read before all other arguments; -1.
int kept_state_argument(int argc, const char* const* argv);
// argv without what a reload added to it.
std::vector<std::string> own_arguments(int argc, const char* const* argv);
// The path that this program was executed by, absolute; links in it are kept, so that what they
// point to later is found.
Result<std::string> own_program_path();

}  // namespace flodea::root
