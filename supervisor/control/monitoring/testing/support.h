// What the tests of this folder share: a clock stepped by hand, the worker's side of a log
// pipe, and waiting for a condition that another thread brings about, with a
// deadline.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "base/clock.h"
#include "base/log_frame.h"
#include "base/safe_path.h"
#include "base/unique_fd.h"
#include "supervisor/control/monitoring/log_store.h"

namespace flodea::control::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Thread-safe: stepped by the test, read by the thread under test.
class FakeClock final : public Clock {
 public:
  Nanos wall() const override { return Nanos(wall_.load()); }
  Nanos monotonic() const override { return Nanos(monotonic_.load()); }
  Nanos boot() const override { return monotonic(); }
  void step(Nanos by) {
    wall_ += by.count();
    monotonic_ += by.count();
  }
  void set_wall(Nanos wall) { wall_ = wall.count(); }

 private:
  std::atomic<std::int64_t> wall_{seconds(1'800'000'000) / Nanos(1)};
  std::atomic<std::int64_t> monotonic_{seconds(1000) / Nanos(1)};
};

// The worker's end of a kept log pipe.
class LogWriter {
 public:
  explicit LogWriter(UniqueFd fd) : fd_(std::move(fd)) {}
  void line(const std::string& text, LogStream stream = LogStream::kStdout,
            std::int64_t time_ns = 0) {
    frame({.seq = ++seq_, .time_ns = time_ns, .stream = stream, .text = text});
  }
  void frame(const LogFrame& frame) {
    std::string bytes;
    append_log_frame(frame, bytes);
    raw(bytes);
  }
  void raw(const std::string& bytes) { REQUIRE(write_all(fd_.get(), bytes)); }
  void skip_to(std::uint64_t seq) { seq_ = seq; }
  int fd() const { return fd_.get(); }
  void close_end() { fd_.reset(); }

 private:
  UniqueFd fd_;
  std::uint64_t seq_ = 0;
};

// Woken by `notify` from any thread.
class Signal {
 public:
  void notify() {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  // False: not within ten seconds. `condition` is looked at after every notify, and at least twenty
  // times a second for what tells nobody.
  template <class Condition>
  bool wait(Condition condition) {
    auto deadline = std::chrono::steady_clock::now() + seconds(10);
    std::unique_lock lock(mutex_);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      changed_.wait_for(lock, milliseconds(50));
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// While it lives, no file of this process grows past `bytes`: as a full disk, a write fails at its
// start or half-way (EFBIG).
class FullDisk {
 public:
  explicit FullDisk(std::uint64_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit small{bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

inline LogKey key_of(unsigned char byte) {
  LogKey key;
  key.fill(byte);
  return key;
}

inline std::vector<std::string> texts(const std::vector<LogLine>& lines) {
  std::vector<std::string> result;
  for (const LogLine& line : lines) result.push_back(line.text);
  return result;
}

}  // namespace flodea::control::test
