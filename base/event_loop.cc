#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace flodea {
namespace {

constexpr std::uint64_t tag(int fd, std::uint32_t serial) {
  return std::uint64_t{serial} << 32 | static_cast<std::uint32_t>(fd);
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  auto epoll = TRY(adopt_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  auto wake = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wake)));
  EventLoop* self = loop.get();
  TRY(loop->watch(loop->wake_.get(), EPOLLIN, [self](std::uint32_t) {
    std::uint64_t count;
    [[maybe_unused]] ssize_t n = ::read(self->wake_.get(), &count, sizeof count);
    self->drain_posted();
  }));
  return loop;
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wake)
    : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
EventLoop::~EventLoop() = default;

Status EventLoop::watch(int fd, std::uint32_t events, Handler handler) {
  std::uint32_t serial = next_serial_++;
  epoll_event event{.events = events, .data = {.u64 = tag(fd, serial)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl add");
  handlers_[fd] = {serial, std::make_shared<Handler>(std::move(handler))};
  return {};
}

Status EventLoop::change(int fd, std::uint32_t events) {
  auto it = handlers_.find(fd);
  if (it == handlers_.end()) return fail_errno("epoll_ctl mod", ENOENT);
  epoll_event event{.events = events, .data = {.u64 = tag(fd, it->second.serial)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return fail_errno("epoll_ctl mod");
  return {};
}

void EventLoop::unwatch(int fd) {
  if (handlers_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::call_after(Nanos delay, Task task) {
  TimerId id = next_timer_++;
  timers_.emplace(clock_.monotonic() + delay, std::pair(id, std::move(task)));
  return id;
}

void EventLoop::cancel(TimerId id) {
  auto it = std::ranges::find_if(timers_, [id](const auto& t) { return t.second.first == id; });
  if (it != timers_.end()) timers_.erase(it);
}

void EventLoop::post(Task task) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  post([] {});
}

void EventLoop::drain_posted() {
  std::vector<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::fire_timers() {
  while (!timers_.empty() && timers_.begin()->first <= clock_.monotonic()) {
    auto node = timers_.extract(timers_.begin());
    node.mapped().second();
  }
}

int EventLoop::timeout_for(int wanted_ms) const {
  if (timers_.empty()) return wanted_ms;
  auto left = timers_.begin()->first - clock_.monotonic();
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  int until = static_cast<int>(std::clamp<std::int64_t>(ms, 0, 1'000'000));
  return wanted_ms < 0 ? until : std::min(until, wanted_ms);
}

Status EventLoop::run_once(int timeout_ms) {
  std::array<epoll_event, 64> events;
  int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                       timeout_for(timeout_ms));
  if (n < 0 && errno != EINTR) return fail_errno("epoll_wait");
  for (int i = 0; i < n; ++i) {
    auto it = handlers_.find(static_cast<int>(events[i].data.u64 & 0xffff'ffff));
    // Unwatched by an earlier handler of this turn, and perhaps another's by now.
    if (it == handlers_.end() || it->second.serial != events[i].data.u64 >> 32) continue;
    auto handler = it->second.handler;  // keeps it alive while it unwatches itself
    (*handler)(events[i].events);
  }
  fire_timers();
  return {};
}

Status EventLoop::run() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return {};
    }
    TRY(run_once(-1));
  }
}

}  // namespace flodea
