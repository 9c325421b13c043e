#include "supervisor/control/guard/guard.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace flodea::control {

Result<std::unique_ptr<Guard>> Guard::create(const Clock& clock, LimitObserver observer,
                                             std::function<void(const Error&)> failed) {
  auto relay = TRY(Relay::create(clock, std::move(observer)));
  auto wake = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  std::unique_ptr<Guard> guard(new Guard(std::move(relay), std::move(wake), std::move(failed)));
  TRY(guard->relay_->watch(guard->wake_.get(), [g = guard.get()] { g->run_posted(); }));
  guard->thread_ = std::thread([g = guard.get()] { g->loop(); });
  return guard;
}

Guard::Guard(std::unique_ptr<Relay> relay, UniqueFd wake, std::function<void(const Error&)> failed)
    : relay_(std::move(relay)), wake_(std::move(wake)), failed_(std::move(failed)) {}

Guard::~Guard() {
  stopped_ = true;
  post([](Relay&) {});
  if (thread_.joinable()) thread_.join();
}

void Guard::post(std::function<void(Relay&)> command) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(command));
  }
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void Guard::run_posted() {
  std::uint64_t count;
  [[maybe_unused]] ssize_t n = ::read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void(Relay&)>> commands;
  {
    std::lock_guard lock(mutex_);
    commands.swap(posted_);
  }
  for (auto& command : commands) command(*relay_);
}

Relay::ConnectionId Guard::add(UniqueFd outer, UniqueFd inner,
                               std::shared_ptr<GuardedAgent> agent) {
  Relay::ConnectionId id;
  {
    std::lock_guard lock(mutex_);
    id = ++last_id_;
  }
  // std::function wants a copyable closure.
  auto fds = std::make_shared<FdPair>(FdPair{std::move(outer), std::move(inner)});
  post([id, fds, agent = std::move(agent)](Relay& relay) {
    // A failure (no memory for epoll) drops both ends: the worker sees EOF and asks anew.
    (void)relay.add(id, std::move(fds->first), std::move(fds->second), agent);
  });
  return id;
}

void Guard::remove(Relay::ConnectionId id) {
  post([id](Relay& relay) { relay.remove(id); });
}

void Guard::loop() {
  ::pthread_setname_np(::pthread_self(), "guard");
  Status turned;
  while (!stopped_ && turned) turned = relay_->turn(-1);
  if (!turned) failed_(turned.error());
}

}  // namespace flodea::control
