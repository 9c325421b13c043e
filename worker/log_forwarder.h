// The agent's stdout and stderr as frames on the kept log pipe (base/log_frame.h). Owner: Worker.
// Thread: the loop's. Memory: at most kMaxPending bytes of frames and what one read of 8 KiB makes,
// and one frame's text a stream. While the pipe is full the agent's pipes are not read, so that the
// agent waits; with `drop` they are read, the lines counted, and a frame says how many were lost.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/log_frame.h"
#include "base/mapped_status_page.h"
#include "worker/line_splitter.h"

namespace flodea::worker {

enum class WhenFull { kBlock, kDrop };

class LogForwarder {
 public:
  static constexpr std::size_t kMaxPending = 64 * 1024;

  // `pipe` is the log pipe's write end, O_NONBLOCK, borrowed.
  LogForwarder(EventLoop& loop, int pipe, StatusPageWriter& page, const Clock& clock)
      : loop_(loop), pipe_(pipe), page_(page), clock_(clock) {}
  ~LogForwarder();
  LogForwarder(const LogForwarder&) = delete;

  Status start(UniqueFd stdout_pipe, UniqueFd stderr_pipe, WhenFull when_full);
  // A line of the worker's own, stream `system`.
  void say(std::string_view text);
  // Calls `done` once both streams have ended and every frame is in the pipe.
  void when_finished(std::function<void()> done);

 private:
  struct Source {
    LogStream stream;
    UniqueFd fd;
    LineSplitter splitter;
    bool watched = false;
  };

  void read_source(Source& source);
  void end_source(Source& source);
  void take_line(LogStream stream, std::string_view text, bool partial);
  void append(LogStream stream, std::uint8_t flags, std::string_view text);
  void append_loss();
  void write_pending();
  bool full() const { return pending_.size() - written_ >= kMaxPending; }
  void update_interest();
  void check_finished();

  EventLoop& loop_;
  int pipe_;
  StatusPageWriter& page_;
  const Clock& clock_;
  WhenFull when_full_ = WhenFull::kBlock;
  std::array<Source, 2> sources_{Source{.stream = LogStream::kStdout},
                                 Source{.stream = LogStream::kStderr}};
  std::string pending_;  // frames; the first `written_` bytes are in the pipe
  std::size_t written_ = 0;
  std::uint64_t seq_ = 0;
  std::uint64_t lost_ = 0;  // lines dropped since the last frame that told
  bool pipe_watched_ = false;
  std::function<void()> done_;
};

}  // namespace flodea::worker
