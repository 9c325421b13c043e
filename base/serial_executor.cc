#include "base/serial_executor.h"

#include <pthread.h>

#include <utility>

namespace flodea {

SerialExecutor::SerialExecutor(unsigned threads, const char* name) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { work(); });
    ::pthread_setname_np(threads_.back().native_handle(), name);
  }
}

SerialExecutor::~SerialExecutor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_ptr<SerialExecutor::Strand> SerialExecutor::make_strand() {
  return std::make_shared<Strand>(*this);
}

void SerialExecutor::post(const std::shared_ptr<Queue>& queue, Task task) {
  {
    std::lock_guard lock(mutex_);
    queue->tasks.push_back(std::move(task));
    if (std::exchange(queue->scheduled, true)) return;
    ready_.push_back(queue);
  }
  wake_.notify_one();
}

void SerialExecutor::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (ready_.empty()) return;
    run_one(lock);
  }
}

void SerialExecutor::run_one(std::unique_lock<std::mutex>& lock) {
  std::shared_ptr<Queue> queue = std::move(ready_.front());
  ready_.pop_front();
  Task task = std::move(queue->tasks.front());
  queue->tasks.pop_front();
  lock.unlock();
  task();
  task = nullptr;  // what it held is released outside the lock
  lock.lock();
  if (queue->tasks.empty()) {
    queue->scheduled = false;
    return;
  }
  ready_.push_back(std::move(queue));
  wake_.notify_one();
}

}  // namespace flodea
