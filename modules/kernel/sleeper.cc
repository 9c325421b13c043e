#include "modules/kernel/sleeper.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace flodea::kernel {
namespace {

constexpr int kTimerFlags = TFD_CLOEXEC | TFD_NONBLOCK;

timespec to_timespec(Nanos time) {
  // Zero would disarm the timer; anything of the past fires at once.
  auto ns = std::max<std::int64_t>(time.count(), 1);
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

}  // namespace

Result<std::unique_ptr<Sleeper>> Sleeper::create(const Clock& clock) {
  auto wall = TRY(adopt_fd(::timerfd_create(CLOCK_REALTIME, kTimerFlags), "timerfd_create"));
  auto monotonic = TRY(adopt_fd(::timerfd_create(CLOCK_MONOTONIC, kTimerFlags), "timerfd_create"));
  auto stop = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  std::unique_ptr<Sleeper> sleeper(
      new Sleeper(clock, std::move(wall), std::move(monotonic), std::move(stop)));
  sleeper->thread_ = std::thread([s = sleeper.get()] { s->loop(); });
  return sleeper;
}

Sleeper::Sleeper(const Clock& clock, UniqueFd wall, UniqueFd monotonic, UniqueFd stop)
    : clock_(clock),
      wall_(std::move(wall)),
      monotonic_(std::move(monotonic)),
      stop_(std::move(stop)),
      queue_(clock) {}

Sleeper::~Sleeper() {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(stop_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

Sleeper::Id Sleeper::sleep_until(SleepClock clock, Nanos until, SleepQueue::Wake wake) {
  std::lock_guard lock(mutex_);
  std::optional<Nanos> before = queue_.next(clock);
  Id id = queue_.add(clock, until, std::move(wake));
  if (!before || until < *before) arm(clock);
  return id;
}

bool Sleeper::cancel(Id id) {
  SleepQueue::Wake dropped;  // released outside the lock
  std::lock_guard lock(mutex_);
  dropped = queue_.cancel(id);
  return dropped != nullptr;
}

void Sleeper::arm(SleepClock clock) {
  std::optional<Nanos> next = queue_.next(clock);
  itimerspec when{};
  if (next) when.it_value = to_timespec(*next);
  bool wall = clock == SleepClock::kWall;
  int flags = TFD_TIMER_ABSTIME | (wall ? TFD_TIMER_CANCEL_ON_SET : 0);
  ::timerfd_settime(wall ? wall_.get() : monotonic_.get(), flags, &when, nullptr);
}

bool Sleeper::wait() {
  pollfd fds[] = {
      {wall_.get(), POLLIN, 0}, {monotonic_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  ::poll(fds, 3, -1);
  std::uint64_t expirations;
  // The wall clock's read fails with ECANCELED after the clock was set: all the same, look again.
  [[maybe_unused]] ssize_t n = ::read(wall_.get(), &expirations, sizeof expirations);
  n = ::read(monotonic_.get(), &expirations, sizeof expirations);
  return (fds[2].revents & POLLIN) == 0;
}

void Sleeper::loop() {
  ::pthread_setname_np(::pthread_self(), "sleeper");
  while (wait()) {
    std::vector<SleepQueue::Wake> due;
    {
      std::lock_guard lock(mutex_);
      due = queue_.take_due();
      arm(SleepClock::kWall);
      arm(SleepClock::kMonotonic);
    }
    for (SleepQueue::Wake& wake : due) wake();
  }
}

}  // namespace flodea::kernel
