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
#include <vector>

namespace flodea {

class SerialExecutor {
 public:
  using Task = std::function<void()>;

  class Strand : public std::enable_shared_from_this<Strand> {
   public:
    // From any thread. Tasks posted before the executor is destroyed are run.
    void post(Task task);

   private:
    friend class SerialExecutor;  // makes strands, runs their tasks
    explicit Strand(SerialExecutor& executor) : executor_(executor) {}
    SerialExecutor& executor_;
    std::deque<Task> tasks_;  // under the executor's mutex_
    bool scheduled_ = false;  // under the executor's mutex_: in ready_, or running
  };

  SerialExecutor(unsigned threads, const char* name);  // name: ≤ 15 characters, of the threads
  ~SerialExecutor();  // runs what was posted, then ends; outlives its strands' users

  std::shared_ptr<Strand> make_strand();

 private:
  void work();
  void run_one(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Strand>> ready_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace flodea
