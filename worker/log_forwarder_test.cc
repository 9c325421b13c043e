#include "worker/log_forwarder.h"

#include <fcntl.h>

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace flodea::worker {
namespace {

// The worker's log pipe and one agent's two, with a hand on every end.
struct Setup {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  SystemClock clock;
  UniqueFd page_fd = std::move(*make_status_page());
  StatusPageWriter page = std::move(*StatusPageWriter::map(page_fd.get()));
  StatusPageReader reader = std::move(*StatusPageReader::map(page_fd.get()));
  FdPair log = std::move(*make_pipe(O_NONBLOCK));
  FdPair out = std::move(*make_pipe(O_NONBLOCK));
  FdPair err = std::move(*make_pipe(O_NONBLOCK));
  LogForwarder forwarder{*loop, log.second.get(), page, clock};
  std::string bytes;
  bool finished = false;

  explicit Setup(WhenFull when_full) {
    REQUIRE(::fcntl(log.second.get(), F_SETPIPE_SZ, 4096) == 4096);
    REQUIRE(forwarder.start(std::move(out.first), std::move(err.first), when_full).has_value());
  }
  void turn() { REQUIRE(loop->run_once(0).has_value()); }
  void turns(int count) {
    while (count-- > 0) turn();
  }
  std::size_t write(int fd, std::string_view text) {
    ssize_t n = ::write(fd, text.data(), text.size());
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  std::vector<LogFrame> take() {
    char chunk[4096];
    ssize_t n;
    while ((n = ::read(log.first.get(), chunk, sizeof chunk)) > 0)
      bytes.append(chunk, static_cast<std::size_t>(n));
    std::vector<LogFrame> frames;
    for (;;) {
      auto parsed = parse_log_frame(bytes);
      REQUIRE(parsed.has_value());
      if (!*parsed) return frames;
      bytes.erase(0, (*parsed)->bytes);
      frames.push_back(std::move((*parsed)->frame));
    }
  }
};

const std::string kLine = std::string(99, 'x') + "\n";

}  // namespace

TEST_CASE("while the log pipe is full the agent's pipes are not read, and nothing is lost") {
  Setup s(WhenFull::kBlock);
  std::size_t written = 0;
  for (int i = 0; i < 1000; ++i) {
    std::size_t n;
    while ((n = s.write(s.out.second.get(), kLine)) > 0) written += n;
    s.turn();
  }
  CHECK(written < 300'000);  // two pipes, kMaxPending and one read: the agent would wait now
  s.out.second.reset();
  s.err.second.reset();
  s.forwarder.when_finished([&] { s.finished = true; });
  std::uint64_t seq = 0;
  for (int i = 0; i < 1000 && !s.finished; ++i) {
    for (const auto& frame : s.take()) CHECK(frame.seq == ++seq);
    s.turn();
  }
  CHECK(s.finished);
  for (const auto& frame : s.take()) CHECK(frame.seq == ++seq);
  CHECK(seq == (written + 99) / 100);
  CHECK(s.reader.read()->log_seq == seq);
}

TEST_CASE("with drop the agent never waits, and a frame says how many lines were lost") {
  Setup s(WhenFull::kDrop);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(s.write(s.out.second.get(), kLine) == kLine.size());
    s.turns(2);
  }
  auto lost = s.reader.read()->log_dropped;
  CHECK(lost > 1000);
  std::uint64_t kept = 0, told = 0;
  for (int i = 0; i < 100; ++i) {
    kept += s.take().size();
    s.turns(2);
  }
  s.write(s.out.second.get(), "after\n");
  s.turns(4);
  for (const auto& frame : s.take()) {
    if (frame.flags == LogFrame::kLinesDropped) told = std::stoull(frame.text);
  }
  CHECK(told == lost);
  CHECK(kept + lost == 3000);
}

TEST_CASE("streams are told apart, and the worker's own lines are the system's") {
  Setup s(WhenFull::kBlock);
  s.write(s.out.second.get(), "a\n");
  s.write(s.err.second.get(), "b");
  s.err.second.reset();
  s.turns(4);
  s.forwarder.say("c");
  auto frames = s.take();
  REQUIRE(frames.size() == 3);
  for (const auto& frame : frames) {
    LogStream expected = frame.text == "a"   ? LogStream::kStdout
                         : frame.text == "b" ? LogStream::kStderr
                                             : LogStream::kSystem;
    CHECK(frame.stream == expected);
  }
}

}  // namespace flodea::worker
