// The thread that ends sleeps: one for all agents, waiting on two timerfds. The wall-clock one is
// cancelled by the kernel when somebody sets the clock (TFD_TIMER_CANCEL_ON_SET), so a sleep until
// 06:00 ends at 06:00 whatever was done to the clock meanwhile. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "base/unique_fd.h"
#include "modules/kernel/sleep_queue.h"

namespace flodea::kernel {

class Sleeper {
 public:
  using Id = SleepQueue::Id;

  static Result<std::unique_ptr<Sleeper>> create(const Clock& clock);
  ~Sleeper();  // sleeps that are left are dropped without being woken

  const Clock& clock() const { return clock_; }
  // `wake` is called on the sleeper's thread, outside its lock, and must not block.
  Id sleep_until(SleepClock clock, Nanos until, SleepQueue::Wake wake);
  // True: `wake` will never be called. False: it has been, or is being, called.
  bool cancel(Id id);

 private:
  Sleeper(const Clock& clock, UniqueFd wall, UniqueFd monotonic, UniqueFd stop);
  void arm(SleepClock clock);  // with mutex_ held
  void loop();
  bool wait();  // false: stop

  const Clock& clock_;
  UniqueFd wall_;
  UniqueFd monotonic_;
  UniqueFd stop_;
  std::mutex mutex_;
  SleepQueue queue_;  // under mutex_
  std::thread thread_;
};

}  // namespace flodea::kernel
