#include "supervisor/vault/testing/verifying_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>

#include "base/clock.h"

namespace flodea::vault::testing {
namespace {

constexpr std::size_t kBlock = 4096;
struct alignas(kBlock) Block {
  std::uint32_t words[kBlock / 4];
};

void fill(Block& out, std::uint32_t block, std::uint32_t sequence) {
  for (std::uint32_t i = 0; i < kBlock / 4; ++i) out.words[i] = sequence * 2654435761u + i + block;
}

double ms_since(Nanos start) {
  return static_cast<double>((SystemClock().monotonic() - start).count()) / 1e6;
}

}  // namespace

VerifyingWriter::VerifyingWriter(int dir, const std::string& path)
    : write_(::openat(dir, path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
      read_(::openat(dir, path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)),
      thread_([this] { run(); }) {}

VerifyingWriter::~VerifyingWriter() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

bool VerifyingWriter::fail_with(const char* what) {
  report_.error = std::string(what) + ": " + std::strerror(errno);
  return false;
}

bool VerifyingWriter::verify(std::uint32_t block) {
  static thread_local Block got, wanted;
  if (last_[block] == 0) return true;
  if (::pread(read_.get(), &got, kBlock, static_cast<off_t>(block) * static_cast<off_t>(kBlock)) !=
      static_cast<ssize_t>(kBlock))
    return fail_with("read");
  fill(wanted, block, last_[block]);
  if (std::memcmp(&got, &wanted, kBlock) == 0) return true;
  report_.error = "mismatch in block " + std::to_string(block);
  return false;
}

bool VerifyingWriter::one_batch() {
  static thread_local std::mt19937 random(7);
  static thread_local Block data;
  std::uint32_t first = random() % kBlocks;
  for (std::uint32_t i = 0, count = 1 + random() % 8; i < count; ++i) {
    std::uint32_t block = i == 0 ? first : random() % kBlocks;
    fill(data, block, ++sequence_);
    if (::pwrite(write_.get(), &data, kBlock,
                 static_cast<off_t>(block) * static_cast<off_t>(kBlock)) !=
        static_cast<ssize_t>(kBlock))
      return fail_with("write");
    last_[block] = sequence_;
  }
  if (::fdatasync(write_.get()) != 0) return fail_with("fdatasync");
  return verify(first) && verify(random() % kBlocks);
}

void VerifyingWriter::run() {
  bool well = true;
  while (well && !stop_) {
    well = one_batch();
    std::lock_guard lock(mutex_);
    ++report_.batches;
    changed_.notify_all();
  }
  for (std::uint32_t block = 0; well && block < kBlocks; ++block) well = verify(block);
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void VerifyingWriter::wait_for_batches(std::uint64_t more) {
  std::unique_lock lock(mutex_);
  std::uint64_t until = report_.batches + more;
  changed_.wait(lock, [&] { return ended_ || report_.batches >= until; });
}

VerifyingWriter::Report VerifyingWriter::finish() {
  stop_ = true;
  thread_.join();
  write_.reset();
  read_.reset();
  return report_;
}

Hog::Hog(int dir, const std::string& path, unsigned threads)
    : file_(::openat(dir, path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
  struct stat st{};
  ::fstat(file_.get(), &st);
  auto blocks = static_cast<std::uint32_t>(static_cast<std::size_t>(st.st_size) / kBlock);
  for (unsigned i = 0; i < threads; ++i)
    threads_.emplace_back([this, i, blocks] {
      std::mt19937 random(i);
      Block data;
      fill(data, i, i);
      while (!stop_)
        if (::pwrite(file_.get(), &data, kBlock,
                     static_cast<off_t>(random() % blocks) * static_cast<off_t>(kBlock)) < 0)
          return;
    });
}

Hog::~Hog() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

std::vector<double> synced_write_times(int dir, const std::string& path, unsigned count) {
  UniqueFd fd(::openat(dir, path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  Block data;
  fill(data, 1, 1);
  std::vector<double> out;
  for (unsigned i = 0; i < count; ++i) {
    Nanos start = SystemClock().monotonic();
    if (::pwrite(fd.get(), &data, kBlock, static_cast<off_t>(i % 16 * kBlock)) < 0 ||
        ::fdatasync(fd.get()) != 0)
      return out;
    out.push_back(ms_since(start));
  }
  return out;
}

double percentile(std::vector<double> values, unsigned percent) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[(values.size() - 1) * percent / 100];
}

std::size_t anonymous_bytes(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/smaps_rollup");
  std::string word;
  std::size_t kib = 0;
  while (in >> word)
    if (word == "Anonymous:") in >> kib;
  return kib * 1024;
}

}  // namespace flodea::vault::testing
