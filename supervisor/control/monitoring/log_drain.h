// The one thread that empties all log pipes: which pipe has its turn, how much of it, and when to
// try again. At most 64 KiB of one agent a turn, round-robin; an agent over its rate, or whose disk
// is full, waits in its own pipe and holds up nobody else. Belongs to the loop's thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/call_marks.h"
#include "base/event_loop.h"
#include "base/token_bucket.h"
#include "supervisor/control/monitoring/log_pipe.h"
#include "supervisor/control/monitoring/log_store.h"
#include "supervisor/control/monitoring/segment_log.h"

namespace flodea::control {

// A line of ours, or of Self/Log, on its way to the disk.
struct WaitingLine {
  Generation generation;
  LogStream stream = LogStream::kSystem;
  std::uint8_t flags = 0;
  std::int64_t time_ns = 0;
  std::string text;
  std::size_t bytes() const { return text.size() + 16; }  // as counted against the bounds
};

// One agent, shared by the callers' threads and the store's.
struct AgentLog {
  AgentLog(AgentId agent, std::unique_ptr<SegmentLog> segments, TokenBucket rate)
      : id(std::move(agent)), log(std::move(segments)), bucket(rate) {}

  const AgentId id;
  const std::unique_ptr<SegmentLog> log;

  std::mutex mutex;  // guards the following; held for moments only
  TokenBucket bucket;
  LogUsage usage;
  std::optional<Nanos> waiting_since;  // monotonic; for its rate
  std::vector<WaitingLine> waiting;
  std::size_t waiting_bytes = 0;
  bool flush_due = false;  // a flush is posted or its timer set

  // The store's thread only.
  Nanos retry_after{};              // zero: the last write succeeded
  std::optional<Nanos> limit_told;  // monotonic
};

class LogDrain {
 public:
  struct Hooks {
    std::function<void(const AgentId&, const std::string&)> on_limit;
    std::function<void(const AgentId&)> on_stored;
  };
  LogDrain(EventLoop& loop, const Clock& clock, const LogStoreLimits& limits, LogTee tee,
           std::shared_ptr<CallMarks> marks, Hooks hooks)
      : loop_(loop),
        clock_(clock),
        limits_(limits),
        tee_(std::move(tee)),
        marks_(std::move(marks)),
        hooks_(std::move(hooks)) {}

  void attach(std::shared_ptr<AgentLog> agent, Generation generation, UniqueFd pipe);
  void finish(const AgentId& agent, Generation generation, std::function<void()> done);
  void forget(const AgentId& agent);  // drops its pipes; what waited to be finished is told
  void flush(const std::shared_ptr<AgentLog>& agent);  // writes the waiting lines
  void tell_limit(AgentLog& agent, const std::string& message);

 private:
  struct Pipe {
    std::shared_ptr<AgentLog> agent;
    Generation generation;
    UniqueFd fd;
    CallMarks::Row mark;
    std::uint64_t last_seq = 0;
    bool resumed = true;
    bool ready = false;                       // in ready_
    EventLoop::TimerId timer = 0;             // set while it waits for its rate or its disk
    std::vector<std::function<void()>> done;  // not empty: it is being finished
    std::size_t left = 0;                     // bytes to finish with
    Nanos give_up_at{};                       // monotonic
  };
  using PipePtr = std::shared_ptr<Pipe>;
  using Key = std::pair<AgentId, Generation>;

  struct Written {
    std::size_t lines = 0;
    std::size_t bytes = 0;       // WaitingLine::bytes
    std::optional<Nanos> retry;  // the disk would not have the next one
  };
  Written write_lines(AgentLog& agent, const std::vector<WaitingLine>& lines);
  bool give_back(AgentLog& agent, std::vector<WaitingLine> lines, const Written& written);
  void make_ready(const PipePtr& pipe);
  void schedule();
  void run_turns();
  void turn(const PipePtr& pipe);
  std::size_t allowance(const PipePtr& pipe);
  bool store(const PipePtr& pipe, const FrameBatch& batch);
  void account(Pipe& pipe, const FrameBatch& batch);
  void nothing_more(const PipePtr& pipe, std::size_t torn_bytes);
  void wait(const PipePtr& pipe, Nanos delay);
  void end(const PipePtr& pipe);
  void add_note(const PipePtr& pipe, const std::string& text);
  Nanos write_failed(AgentLog& agent, const Error& error);
  bool finishing(const Pipe& pipe) const { return !pipe.done.empty(); }

  EventLoop& loop_;
  const Clock& clock_;
  const LogStoreLimits limits_;
  LogTee tee_;
  std::shared_ptr<CallMarks> marks_;
  Hooks hooks_;
  std::map<Key, PipePtr> pipes_;
  std::deque<PipePtr> ready_;
  bool scheduled_ = false;
};

}  // namespace flodea::control
