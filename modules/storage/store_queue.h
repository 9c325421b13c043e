// The operations of one agent on its store, one at a time on its strand. Bounded: at most
// kMaxWaiting wait, and none is begun while the agent has not taken kMaxUnsent bytes of earlier
// replies, or an agent that asks for pages and does not read would fill control's memory.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "base/serial_executor.h"
#include "modules/storage/store.h"

namespace flodea::storage {

class StoreQueue : public std::enable_shared_from_this<StoreQueue> {
 public:
  using Operation = std::function<void(Store&)>;
  using Id = std::uint64_t;
  static constexpr std::size_t kMaxWaiting = 128;
  static constexpr std::size_t kMaxUnsent = 512 * 1024;

  static std::shared_ptr<StoreQueue> create(std::unique_ptr<Store> store,
                                            std::shared_ptr<SerialExecutor::Strand> strand);

  // Runs `operation` on the strand. kResourceExhausted: too many wait. kUnavailable: closed.
  Result<Id> submit(Operation operation);
  void cancel(Id id);  // drops it if it has not begun
  // Bytes of a reply that were handed to the transport, and those that have left it.
  void hold(std::size_t bytes);
  void release(std::size_t bytes);
  // What runs is finished, what waits is dropped, the store is closed; then `done`, on the strand.
  void close(std::function<void()> done);

 private:
  StoreQueue(std::unique_ptr<Store> store, std::shared_ptr<SerialExecutor::Strand> strand)
      : store_(std::move(store)), strand_(std::move(strand)) {}
  void begin_next();  // with mutex_ held

  struct Waiting {
    Id id;
    Operation operation;
  };
  std::unique_ptr<Store> store_;  // only on the strand
  std::shared_ptr<SerialExecutor::Strand> strand_;
  std::mutex mutex_;  // of the rest
  std::deque<Waiting> waiting_;
  Id last_id_ = 0;
  std::size_t unsent_ = 0;
  bool running_ = false;
  bool closed_ = false;
};

}  // namespace flodea::storage
