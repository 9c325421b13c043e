// A single-threaded epoll loop: the heart of flodead and of the worker, and of control's threads
// that watch descriptors. Everything but `post` and `stop` belongs to the thread that runs the
// loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace flodea {

class EventLoop {
 public:
  using Handler = std::function<void(std::uint32_t events)>;  // EPOLL* bits
  using Task = std::function<void()>;
  using TimerId = std::uint64_t;

  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();

  // Level-triggered. The loop does not own `fd`; call `unwatch` before it is closed. A handler may
  // unwatch any descriptor.
  Status watch(int fd, std::uint32_t events, Handler handler);
  Status change(int fd, std::uint32_t events);
  void unwatch(int fd);

  TimerId call_after(Nanos delay, Task task);  // on CLOCK_MONOTONIC
  void cancel(TimerId id);

  void post(Task task);  // from any thread: runs on the loop's thread
  void stop();           // from any thread: `run` returns after the current turn
  Status run();
  Status run_once(int timeout_ms);  // one turn; -1 waits until something happens

 private:
  EventLoop(UniqueFd epoll, UniqueFd wake);
  void drain_posted();
  void fire_timers();
  int timeout_for(int wanted_ms) const;

  UniqueFd epoll_;
  UniqueFd wake_;
  struct Watch {
    std::uint32_t serial;  // a number may be closed, and given to another, within one turn
    std::shared_ptr<Handler> handler;
  };

  std::unordered_map<int, Watch> handlers_;
  std::uint32_t next_serial_ = 1;
  std::multimap<Nanos, std::pair<TimerId, Task>> timers_;
  TimerId next_timer_ = 1;
  std::mutex mutex_;
  std::vector<Task> posted_;
  bool stopped_ = false;  // under mutex_
  SystemClock clock_;
};

}  // namespace flodea
