// Loads for volumes: a writer that knows what it wrote, one that never stops, and what their waits
// were.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::vault::testing {

// Writes random 4 KiB blocks in batches, each ended by fdatasync, and reads blocks back past the
// page cache (O_DIRECT); every block carries its number and the sequence of its last write. Any
// errno or mismatch ends it.
class VerifyingWriter {
 public:
  struct Report {
    std::string error;  // "" when all was well
    std::uint64_t batches = 0;
  };
  VerifyingWriter(int dir, const std::string& path);
  ~VerifyingWriter();
  void wait_for_batches(std::uint64_t more);  // or its end
  Report finish();                            // stops it, reads everything once more

 private:
  static constexpr std::uint32_t kBlocks = 2048;
  void run();
  bool one_batch();
  bool verify(std::uint32_t block);
  bool fail_with(const char* what);

  UniqueFd write_;
  UniqueFd read_;
  std::vector<std::uint32_t> last_ = std::vector<std::uint32_t>(kBlocks, 0);
  std::uint32_t sequence_ = 0;
  Report report_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Random 4 KiB writes past the page cache from many threads, until it is destroyed.
class Hog {
 public:
  Hog(int dir, const std::string& path, unsigned threads);
  ~Hog();

 private:
  std::atomic<bool> stop_ = false;
  UniqueFd file_;
  std::vector<std::thread> threads_;
};

// Milliseconds of each of `count` writes of 4 KiB followed by fdatasync.
std::vector<double> synced_write_times(int dir, const std::string& path, unsigned count);
double percentile(std::vector<double> values, unsigned percent);
std::size_t anonymous_bytes(pid_t pid);  // /proc/<pid>/smaps_rollup

}  // namespace flodea::vault::testing
