// A thread that answers the kernel for its share of the volumes. It waits on their connections and
// on its disk operations in one epoll, never for one request: requests are taken, encrypted,
// submitted, and answered as the disk completes them. Fair by construction: a few requests of each
// connection per turn, and the kernel sends a connection's asynchronous requests a bounded number
// at a time, so that one volume never fills all slots.
#pragma once

#include <sys/epoll.h>

#include <deque>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/aio_queue.h"
#include "supervisor/vault/io_slot.h"
#include "supervisor/vault/volume.h"

namespace flodea::vault {

class Worker {
 public:
  static constexpr unsigned kSlots = 24;
  static constexpr unsigned kTurn = 16;  // requests of one volume before the next volume's
  static constexpr std::size_t kSubmitAtOnce = 64 * 1024;  // bytes

  // Called on the worker's thread when the kernel has closed a connection: its volume is served no
  // more, its key is gone.
  using OnClosed = std::function<void(const AgentId&)>;

  static Result<std::unique_ptr<Worker>> create(OnClosed on_closed);
  ~Worker();  // stops and joins
  void start(std::latch& running);

  // Any thread.
  void add(std::unique_ptr<Volume> volume);
  std::future<void> remove(
      const AgentId& agent);  // ready once its last request is answered and its key is gone

 private:
  struct Entry {
    std::unique_ptr<Volume> volume;
    unsigned in_flight = 0;
    bool leaving = false;
    bool closed = false;  // by the kernel
    std::vector<std::promise<void>> awaited;
  };
  using Command = std::function<void()>;

  Worker(UniqueFd epoll, UniqueFd wake, AioQueue disk, OnClosed on_closed);
  Status watch(int fd, std::uint32_t events, void* what);
  void post(Command command);
  void run();
  void wait();
  void run_commands();
  void drain(Entry& entry);
  void complete(std::span<const io_event> events);
  void leave(Entry& entry);
  void sweep();

  UniqueFd epoll_;
  UniqueFd wake_;
  AioQueue disk_;
  OnClosed on_closed_;
  std::vector<std::unique_ptr<IoSlot>> slots_;
  std::vector<IoSlot*> free_;
  std::map<AgentId, Entry> entries_;
  bool sweep_needed_ = false;
  bool stopping_ = false;
  std::mutex mutex_;
  std::deque<Command> commands_;  // under mutex_
  std::thread thread_;
};

}  // namespace flodea::vault
