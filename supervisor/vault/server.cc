#include "supervisor/vault/server.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <latch>

namespace flodea::vault {
namespace {

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

Result<std::unique_ptr<Server>> Server::create(OnClosed on_closed) {
  std::unique_ptr<Server> server(new Server(std::move(on_closed)));
  TRY(server->start());
  return server;
}

Status Server::start() {
  TRY(set_default_stack_size());
  for (unsigned i = 0; i < kThreads; ++i)
    workers_.push_back(TRY(Worker::create([this](const AgentId& agent) {
      forget(agent);
      on_closed_(agent);
    })));
  std::latch running(
      kThreads);  // what libc does at the start of a thread is over: a seccomp filter may follow
  for (auto& worker : workers_) worker->start(running);
  running.wait();
  return {};
}

std::size_t Server::least_loaded() const {
  std::array<std::size_t, kThreads> load{};
  for (const auto& [agent, worker] : served_) ++load[worker];
  return static_cast<std::size_t>(std::ranges::min_element(load) - load.begin());
}

Status Server::add(std::unique_ptr<Volume> volume) {
  std::lock_guard lock(mutex_);
  const AgentId& agent = volume->agent();
  if (served_.contains(agent))
    return fail(Code::kAlreadyExists, "the volume of agent " + agent.text() + " is being served");
  std::size_t worker = least_loaded();
  served_[agent] = worker;
  workers_[worker]->add(std::move(volume));
  return {};
}

bool Server::remove(const AgentId& agent) {
  std::future<void> gone;
  {
    std::lock_guard lock(mutex_);
    auto known = served_.find(agent);
    if (known == served_.end()) return false;
    gone = workers_[known->second]->remove(agent);
  }
  gone.wait();
  forget(agent);
  return true;
}

void Server::forget(const AgentId& agent) {
  std::lock_guard lock(mutex_);
  served_.erase(agent);
}

bool Server::serves(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  return served_.contains(agent);
}

std::size_t Server::count() const {
  std::lock_guard lock(mutex_);
  return served_.size();
}

}  // namespace flodea::vault
