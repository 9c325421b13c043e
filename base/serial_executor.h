// Work that may block, off the threads that must not: a few threads, and any number of *strands*.
// The tasks of one strand run one after the other, in order; strands take turns, one task each, so
// that one whose disk is slow holds up at most one thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace flodea {

class SerialExecutor {
 public:
  using Task = std::function<void()>;

  class Strand;

  SerialExecutor(unsigned threads, const char* name);  // name: ≤ 15 characters, of the threads
  ~SerialExecutor();  // runs what was posted, then ends; outlives its strands' users

  std::shared_ptr<Strand> make_strand();

 private:
  struct Queue {  // of one strand; under mutex_
    std::deque<Task> tasks;
    bool scheduled = false;  // in ready_, or its task is running
  };

  void post(const std::shared_ptr<Queue>& queue, Task task);
  void work();
  void run_one(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Queue>> ready_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

class SerialExecutor::Strand {
 public:
  explicit Strand(SerialExecutor& executor) : executor_(executor) {}
  // From any thread. Tasks posted before the executor is destroyed are run.
  void post(Task task) { executor_.post(queue_, std::move(task)); }

 private:
  SerialExecutor& executor_;
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
};

}  // namespace flodea
