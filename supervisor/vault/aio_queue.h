// Asynchronous direct I/O of one thread (io_submit(2), no library): what one turn collects is
// submitted in one call, completions ring an event counter. io_uring would do the same, but is
// switched off on hardened hosts.
#pragma once

#include <linux/aio_abi.h>

#include <span>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::vault {

class AioQueue {
 public:
  // At most `capacity` operations may be under way.
  static Result<AioQueue> create(unsigned capacity);
  AioQueue(AioQueue&& other) noexcept;
  AioQueue& operator=(AioQueue&&) = delete;
  ~AioQueue();  // waits for what is under way

  int event_fd() const { return event_.get(); }  // to be watched edge-triggered: nobody reads it

  void add(iocb& operation);  // `operation` stays in place until it has completed
  void submit();
  // Completions, `data` and `res` (bytes, or a negative errno) as io_event has them; the span holds
  // until the next call. Blocks for one when `wait` and something is under way.
  enum class Wait { kNo, kForOne };
  std::span<const io_event> reap(Wait wait);

 private:
  AioQueue(aio_context_t context, UniqueFd event, unsigned capacity);

  aio_context_t context_;
  UniqueFd event_;
  std::vector<iocb*> collected_;
  std::vector<io_event> refused_;  // by io_submit itself
  std::vector<io_event> events_;
};

}  // namespace flodea::vault
