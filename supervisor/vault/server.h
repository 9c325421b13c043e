// All volumes being served, spread over a few worker threads. The same thread answers a volume all
// its life.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/ids.h"
#include "supervisor/vault/worker.h"

namespace flodea::vault {

class Server {
 public:
  static constexpr unsigned kThreads = 2;
  // Called on a worker thread, after the volume is gone from here.
  using OnClosed = Worker::OnClosed;

  // Starts the threads; on return they all run, and the process may give up clone(2).
  static Result<std::unique_ptr<Server>> create(OnClosed on_closed);

  // Any thread. kAlreadyExists when this agent's volume is being served.
  Status add(std::unique_ptr<Volume> volume);
  // Returns once its last request is answered and its key is gone; false when it was not served.
  bool remove(const AgentId& agent);
  bool serves(const AgentId& agent) const;
  std::size_t count() const;

 private:
  explicit Server(OnClosed on_closed) : on_closed_(std::move(on_closed)) {}
  Status start();
  std::size_t least_loaded() const;
  void forget(const AgentId& agent);

  OnClosed on_closed_;
  mutable std::mutex mutex_;
  std::map<AgentId, std::size_t> served_;         // by which worker; under mutex_
  std::vector<std::unique_ptr<Worker>> workers_;  // last: they end first
};

}  // namespace flodea::vault
