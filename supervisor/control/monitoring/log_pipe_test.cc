#include "supervisor/control/monitoring/log_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "supervisor/control/monitoring/testing/support.h"

namespace flodea::control {
namespace {

using namespace test;

std::set<int> readable_pipes() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    auto target = std::filesystem::read_symlink(entry.path(), gone).string();
    int fd = std::stoi(entry.path().filename());
    bool reads = (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
    if (target.starts_with("pipe:") && reads) found.insert(fd);
  }
  return found;
}

TEST_CASE("a peek leaves the pipe as it was; a discard takes exactly so much") {
  auto tee = LogTee::create();
  auto pipe = make_pipe();
  REQUIRE((tee && pipe));
  CHECK(tee->peek(pipe->first.get(), 100)->empty());
  REQUIRE(write_all(pipe->second.get(), "abcdefgh"));
  CHECK(*tee->peek(pipe->first.get(), 100) == "abcdefgh");
  CHECK(*tee->peek(pipe->first.get(), 3) == "abc");
  REQUIRE(tee->discard(pipe->first.get(), 5));
  CHECK(*tee->peek(pipe->first.get(), 100) == "fgh");
}

TEST_CASE("after a failed read the next pipe's bytes are its own") {
  auto one = make_pipe();
  auto other = make_pipe();
  auto before = readable_pipes();
  auto tee = LogTee::create();
  auto own = readable_pipes();
  for (int fd : before) own.erase(fd);
  REQUIRE(own.size() == 1);
  REQUIRE((one && other && tee));
  REQUIRE(write_all(one->second.get(), "secrets of one"));
  REQUIRE(write_all(other->second.get(), "other"));
  UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  UniqueFd kept(::dup(*own.begin()));
  REQUIRE(::dup2(directory.get(), *own.begin()) >= 0);
  CHECK_FALSE(tee->peek(one->first.get(), 100));  // copied, but cannot be read
  UniqueFd restored(::dup2(kept.get(), *own.begin()));
  auto seen = tee->peek(other->first.get(), 100);
  REQUIRE(seen);
  CHECK(*seen == "other");
}

TEST_CASE("neither call waits, also where the pipe may block and was emptied by another") {
  auto tee = LogTee::create();
  auto pipe = make_pipe();  // no O_NONBLOCK: a worker can clear it
  REQUIRE((tee && pipe));
  REQUIRE(write_all(pipe->second.get(), "abc"));
  CHECK(tee->discard(pipe->first.get(), 10).error().code == Code::kUnavailable);
  CHECK(tee->peek(pipe->first.get(), 10)->empty());
  pipe->second.reset();
  CHECK(tee->peek(pipe->first.get(), 10)->empty());
  CHECK(!tee->discard(pipe->first.get(), 1));
}

TEST_CASE("after the last number there is, no number begins again") {
  std::string bytes;
  for (std::uint64_t seq : {std::uint64_t{1}, UINT64_MAX, std::uint64_t{0}, std::uint64_t{1}}) {
    append_log_frame({.seq = seq, .text = "x"}, bytes);
  }
  bool resumed = true;
  auto batch = read_frames(bytes, 0, resumed);
  CHECK(batch.new_frames == 2);
  CHECK(batch.last_seq == UINT64_MAX);
}

TEST_CASE("what we note of a worker's breaches never outgrows a chunk") {
  std::string bytes;
  for (std::uint64_t seq = 2; bytes.size() + LogFrame::kHeaderBytes <= LogTee::kMaxPeek; seq += 2)
    append_log_frame({.seq = seq}, bytes);
  bool resumed = true;
  auto batch = read_frames(bytes, 0, resumed);
  CHECK(batch.consumed == bytes.size());
  std::string plain;
  for (const LogRecord& record : batch.records) append_record(record, plain);
  CHECK(plain.size() < kMaxChunkBytes - 1024);
  CHECK(batch.complaint == "1 log lines are missing here");
}

}  // namespace
}  // namespace flodea::control
