#include "supervisor/vault/server.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <latch>

namespace flodea::vault {
namespace {

constexpr std::uint64_t kStop = 0;
constexpr std::size_t kStackBytes = 256 * 1024;  // locked in full (mlockall): not the usual 8 MiB

Status set_default_stack_size() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  int error = ::pthread_attr_setstacksize(&attributes, kStackBytes);
  if (error == 0) error = ::pthread_setattr_default_np(&attributes);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) return fail_errno("set the size of stacks", error);
  return {};
}

}  // namespace

Server::Server(UniqueFd epoll, UniqueFd stop, OnClosed on_closed)
    : epoll_(std::move(epoll)), stop_(std::move(stop)), on_closed_(std::move(on_closed)) {}

Result<std::unique_ptr<Server>> Server::create(OnClosed on_closed) {
  auto epoll = TRY(adopt_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  auto stop = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  std::unique_ptr<Server> server(
      new Server(std::move(epoll), std::move(stop), std::move(on_closed)));
  TRY(server->start());
  return server;
}

Status Server::start() {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStop}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0)
    return fail_errno("epoll_ctl");
  TRY(set_default_stack_size());
  std::vector<IoBuffer> buffers;
  for (unsigned i = 0; i < kThreads; ++i) buffers.push_back(TRY(IoBuffer::create()));
  std::latch running(
      kThreads);  // what libc does at the start of a thread is over: a seccomp filter may follow
  for (IoBuffer& buffer : buffers)
    threads_.emplace_back([this, &running, own = std::move(buffer)]() mutable {
      running.count_down();
      work(own);
    });
  running.wait();
  return {};
}

Server::~Server() {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(stop_.get(), &one, sizeof one);
  for (std::thread& thread : threads_) thread.join();
}

void Server::arm(int operation, std::uint64_t id, const Volume& volume) {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = id}};
  ::epoll_ctl(epoll_.get(), operation, volume.device(), &event);
}

Status Server::add(std::unique_ptr<Volume> volume) {
  std::lock_guard lock(mutex_);
  if (by_agent_.contains(volume->agent()))
    return fail(Code::kAlreadyExists,
                "the volume of agent " + volume->agent().text() + " is being served");
  std::uint64_t id = next_++;
  by_agent_[volume->agent()] = id;
  Entry& entry = entries_[id];
  entry.volume = std::move(volume);
  arm(EPOLL_CTL_ADD, id, *entry.volume);
  return {};
}

bool Server::remove(const AgentId& agent) {
  std::unique_lock lock(mutex_);
  auto known = by_agent_.find(agent);
  if (known == by_agent_.end()) return false;
  std::uint64_t id = known->second;
  entries_[id].leaving = true;
  emptied_.wait(lock, [&] { return !entries_.contains(id) || entries_[id].busy == 0; });
  if (entries_.erase(id) != 0) by_agent_.erase(agent);
  return true;
}

bool Server::serves(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  return by_agent_.contains(agent);
}

std::size_t Server::count() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

void Server::work(IoBuffer& buffer) {
  for (;;) {
    epoll_event event;
    int n = ::epoll_wait(epoll_.get(), &event, 1, -1);
    if (n < 0 && errno != EINTR) return;
    if (n != 1) continue;
    if (event.data.u64 == kStop) return;
    turn(event.data.u64, buffer);
  }
}

void Server::turn(std::uint64_t id, IoBuffer& buffer) {
  Seat seat{};
  if (!take_seat(id, &seat)) return;
  std::size_t bytes = 0;
  Volume::Turn got = seat.entry->volume->receive(buffer, &bytes);
  if (got == Volume::Turn::kServed) {
    let_another_in(id, seat);
    seat.entry->volume->answer(buffer, bytes, seat.number);
  }
  leave(id, seat, got == Volume::Turn::kClosed);
}

bool Server::take_seat(std::uint64_t id, Seat* seat) {
  std::lock_guard lock(mutex_);
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.leaving) return false;
  for (unsigned number = 0; number < Volume::kSeats; ++number) {
    if ((it->second.busy & (1u << number)) != 0) continue;
    it->second.busy |= 1u << number;
    *seat = {&it->second, number};
    return true;
  }
  return false;  // whoever leaves next arms it again
}

// Only after its own request was taken: else the event would wake a second thread for the same
// request.
void Server::let_another_in(std::uint64_t id, const Seat& seat) {
  std::lock_guard lock(mutex_);
  constexpr unsigned kFull = (1u << Volume::kSeats) - 1;
  if (seat.entry->busy != kFull && !seat.entry->leaving)
    arm(EPOLL_CTL_MOD, id, *seat.entry->volume);
}

void Server::leave(std::uint64_t id, const Seat& seat, bool closed) {
  std::unique_ptr<Volume>
      gone;  // destroyed after the lock: closing waits for nothing, but takes its time
  {
    std::lock_guard lock(mutex_);
    Entry& entry = *seat.entry;
    entry.busy &= ~(1u << seat.number);
    entry.closed |= closed;
    entry.leaving |= closed;
    if (!entry.leaving) {
      arm(EPOLL_CTL_MOD, id, *entry.volume);
      return;
    }
    if (entry.busy != 0) return;
    if (entry.closed) {
      gone = std::move(entry.volume);
      by_agent_.erase(gone->agent());
      entries_.erase(id);
    }
    emptied_.notify_all();
  }
  if (gone) {
    AgentId agent = gone->agent();
    gone.reset();
    on_closed_(agent);
  }
}

}  // namespace flodea::vault
