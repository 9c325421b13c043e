#include "modules/storage/store_queue.h"

#include <algorithm>
#include <utility>

namespace flodea::storage {

std::shared_ptr<StoreQueue> StoreQueue::create(std::unique_ptr<Store> store,
                                               std::shared_ptr<SerialExecutor::Strand> strand) {
  return std::shared_ptr<StoreQueue>(new StoreQueue(std::move(store), std::move(strand)));
}

Result<StoreQueue::Id> StoreQueue::submit(Operation operation) {
  std::lock_guard lock(mutex_);
  if (closed_) return fail(Code::kUnavailable, "the store is closed");
  if (waiting_.size() >= kMaxWaiting) {
    return fail(Code::kResourceExhausted, "too many operations of this agent wait for its store");
  }
  Id id = ++last_id_;
  waiting_.push_back({id, std::move(operation)});
  begin_next();
  return id;
}

void StoreQueue::cancel(Id id) {
  Waiting dropped;  // destroyed outside the lock
  std::lock_guard lock(mutex_);
  auto it = std::ranges::find(waiting_, id, &Waiting::id);
  if (it == waiting_.end()) return;
  dropped = std::move(*it);
  waiting_.erase(it);
}

void StoreQueue::hold(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  unsent_ += bytes;
}

void StoreQueue::release(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  unsent_ -= bytes;
  begin_next();
}

void StoreQueue::begin_next() {
  if (running_ || closed_ || waiting_.empty() || unsent_ > kMaxUnsent) return;
  running_ = true;
  auto operation = std::make_shared<Operation>(std::move(waiting_.front().operation));
  waiting_.pop_front();
  strand_->post([self = shared_from_this(), operation] {
    (*operation)(*self->store_);
    *operation = nullptr;
    std::lock_guard lock(self->mutex_);
    self->running_ = false;
    self->begin_next();
  });
}

void StoreQueue::close(std::function<void()> done) {
  std::deque<Waiting> dropped;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(waiting_);
  }
  strand_->post([self = shared_from_this(), done = std::move(done)] {
    self->store_->close();
    done();
  });
}

}  // namespace flodea::storage
