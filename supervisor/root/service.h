// One row of flodead's table of services: how it is executed, and when it is executed again. Its
// owner says what each life is given and is told of each end. Thread: flodead's.
#pragma once

#include <functional>
#include <string>

#include "base/event_loop.h"
#include "supervisor/root/process.h"
#include "supervisor/root/restart_policy.h"

namespace flodea::root {

struct ServiceRow {
  std::string name;  // of the program, in the directory of flodead's own
  Identity identity;
  std::vector<int> ambient;  // its capabilities
  int parent_death_signal = 0;
};

// What one life is given.
struct ServiceLife {
  std::vector<std::string> arguments;
  std::vector<std::pair<UniqueFd, int>> fds;  // closed here once it has them
};

class Service {
 public:
  enum class After { kRestart, kStay };
  struct Callbacks {
    std::function<Result<ServiceLife>()> prepare;  // before each life
    std::function<After(ExitStatus)> ended;        // reaped; says whether another life follows
    std::function<void(const char* why)> changed;  // for the event: "started", or how it ended
  };

  Service(EventLoop& loop, ServiceRow row, UniqueFd executable, int cgroup, Callbacks callbacks)
      : loop_(loop),
        row_(std::move(row)),
        executable_(std::move(executable)),
        cgroup_(cgroup),
        callbacks_(std::move(callbacks)) {}

  Status start();
  // Instead of `start`: a life that an earlier flodead began, which this one is the parent of.
  Status adopt(PidFd process, const ProgramId& program);
  // Restarts under earlier flodeads.
  void add_restarts(std::uint64_t count) { earlier_restarts_ += count; }
  // The program on disk is another one than that of the present life.
  bool outdated() const;
  void signal(int number) const;  // nothing if it does not run
  void start_again();             // now, and again after a while if that fails
  void stay_down();               // no further life
  bool running() const { return process_.valid(); }
  const std::string& name() const { return row_.name; }
  std::uint64_t restarts() const { return earlier_restarts_ + history_.total(); }
  const PidFd& process() const { return process_; }
  const ProgramId& program() const { return program_; }  // of the present life

 private:
  Status follow(PidFd process);
  void on_end();
  void start_after(Nanos delay);

  EventLoop& loop_;
  ServiceRow row_;
  UniqueFd executable_;
  int cgroup_;
  Callbacks callbacks_;
  PidFd process_;
  ProgramId program_;
  std::uint64_t earlier_restarts_ = 0;
  Nanos started_{};
  RestartHistory history_;
  bool stay_down_ = false;
  SystemClock clock_;
};

}  // namespace flodea::root
