#include "supervisor/vault/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace flodea::vault {

Result<std::unique_ptr<Worker>> Worker::create(OnClosed on_closed) {
  auto epoll = TRY(adopt_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  auto wake = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  auto disk = TRY(AioQueue::create(kSlots));
  std::unique_ptr<Worker> worker(
      new Worker(std::move(epoll), std::move(wake), std::move(disk), std::move(on_closed)));
  for (unsigned i = 0; i < kSlots; ++i) {
    worker->slots_.push_back(std::make_unique<IoSlot>(IoSlot{.buffer = TRY(IoBuffer::create())}));
    worker->free_.push_back(worker->slots_.back().get());
  }
  TRY(worker->watch(worker->wake_.get(), EPOLLIN, &worker->wake_));
  TRY(worker->watch(worker->disk_.event_fd(), EPOLLIN | EPOLLET, nullptr));  // only ends the wait
  return worker;
}

Worker::Worker(UniqueFd epoll, UniqueFd wake, AioQueue disk, OnClosed on_closed)
    : epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      disk_(std::move(disk)),
      on_closed_(std::move(on_closed)) {}

Worker::~Worker() {
  if (!thread_.joinable()) return;
  post([this] { stopping_ = true; });
  thread_.join();
}

void Worker::start(std::latch& running) {
  thread_ = std::thread([this, &running] {
    running.count_down();
    run();
  });
}

Status Worker::watch(int fd, std::uint32_t events, void* what) {
  epoll_event event{.events = events, .data = {.ptr = what}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void Worker::post(Command command) {
  {
    std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void Worker::add(std::unique_ptr<Volume> volume) {
  auto shared = std::make_shared<std::unique_ptr<Volume>>(
      std::move(volume));  // a std::function wants to be copyable
  post([this, shared] {
    Entry& entry = entries_[(*shared)->agent()];
    entry.volume = std::move(*shared);
    if (!watch(entry.volume->device(), EPOLLIN, &entry)) leave(entry);
  });
}

std::future<void> Worker::remove(const AgentId& agent) {
  auto done = std::make_shared<std::promise<void>>();
  auto future = done->get_future();
  post([this, agent, done] {
    auto known = entries_.find(agent);
    if (known == entries_.end()) {
      done->set_value();
      return;
    }
    known->second.awaited.push_back(std::move(*done));
    leave(known->second);
  });
  return future;
}

void Worker::run() {
  while (!stopping_) {
    wait();
    disk_.submit();
    complete(disk_.reap(AioQueue::Wait::kNo));
    if (sweep_needed_) sweep();
  }
}

void Worker::wait() {
  if (free_.empty()) {  // what waits on the connections has to
    complete(disk_.reap(AioQueue::Wait::kForOne));
    return;
  }
  std::array<epoll_event, 16> events;
  int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
  for (int i = 0; i < n; ++i) {
    void* what = events[static_cast<std::size_t>(i)].data.ptr;
    if (what == &wake_)
      run_commands();
    else if (what != nullptr)
      drain(
          *static_cast<Entry*>(what));  // entries go in `sweep` only, after all events of this turn
  }
}

void Worker::run_commands() {
  std::uint64_t count;
  [[maybe_unused]] ssize_t n = ::read(wake_.get(), &count, sizeof count);
  std::deque<Command> commands;
  {
    std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (Command& command : commands) command();
}

void Worker::drain(Entry& entry) {
  for (unsigned i = 0; i < kTurn && !free_.empty() && !entry.leaving; ++i) {
    IoSlot& slot = *free_.back();
    std::size_t bytes = 0;
    Volume::Received received = entry.volume->receive(slot, &bytes);
    if (received == Volume::Received::kNothing) return;
    if (received == Volume::Received::kClosed) {
      entry.closed = true;
      leave(entry);
      return;
    }
    entry.volume->answer(slot, bytes, disk_);
    if (slot.kind == IoSlot::Kind::kIdle) continue;
    free_.pop_back();
    ++entry.in_flight;
    // The disk has something to do while the next one is encrypted; small ones go together.
    if (slot.size >= kSubmitAtOnce) disk_.submit();
  }
}

void Worker::complete(std::span<const io_event> events) {
  for (const io_event& event : events) {
    IoSlot& slot = *reinterpret_cast<IoSlot*>(event.data);
    Entry& entry = entries_.at(slot.volume->agent());
    slot.volume->finish(slot, event.res);
    free_.push_back(&slot);
    --entry.in_flight;
  }
}

void Worker::leave(Entry& entry) {
  if (!entry.leaving) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.volume->device(), nullptr);
  entry.leaving = true;
  sweep_needed_ = true;
}

void Worker::sweep() {
  sweep_needed_ = false;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (!entry.leaving || entry.in_flight != 0) {
      sweep_needed_ |= entry.leaving;
      ++it;
      continue;
    }
    entry.volume.reset();
    for (auto& promise : entry.awaited) promise.set_value();
    bool closed = entry.closed;
    AgentId agent = it->first;
    it = entries_.erase(it);
    if (closed) on_closed_(agent);
  }
}

}  // namespace flodea::vault
