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
  return std::shared_ptr<Strand>(new Strand(*this));
}

void SerialExecutor::Strand::post(Task task) {
  {
    std::lock_guard lock(executor_.mutex_);
    tasks_.push_back(std::move(task));
    if (std::exchange(scheduled_, true)) return;
    executor_.ready_.push_back(shared_from_this());
  }
  executor_.wake_.notify_one();
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
  std::shared_ptr<Strand> strand = std::move(ready_.front());
  ready_.pop_front();
  Task task = std::move(strand->tasks_.front());
  strand->tasks_.pop_front();
  lock.unlock();
  task();
  task = nullptr;  // what it held is released outside the lock
  lock.lock();
  if (strand->tasks_.empty()) {
    strand->scheduled_ = false;
    return;
  }
  ready_.push_back(std::move(strand));
  wake_.notify_one();
}

}  // namespace flodea
