#include "supervisor/control/monitoring/log_drain.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "base/quantity.h"

namespace flodea::control {
namespace {

using std::chrono::milliseconds;

constexpr int kTurnsAtOnce = 16;  // before the loop looks at other descriptors again
constexpr std::size_t kMaxFrameBytes = LogFrame::kHeaderBytes + LogFrame::kMaxText;
constexpr double kResumeBytes =
    32 * 1024;  // an agent over its rate goes on in pieces of this, not line by line
constexpr Nanos kShortestWait = milliseconds(1);
constexpr Nanos kLongestWait = milliseconds(100);  // a rate may be raised while it is waited for

std::size_t bytes_in(int pipe) {
  int bytes = 0;
  return ::ioctl(pipe, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

}  // namespace

void LogDrain::attach(std::shared_ptr<AgentLog> agent, Generation generation, UniqueFd fd) {
  auto pipe = std::make_shared<Pipe>();
  pipe->last_seq = agent->log->stored_seq(generation);
  pipe->generation = generation;
  pipe->fd = std::move(fd);
  pipe->mark = CallMarks::add_if_possible(marks_, agent->id);
  Key key{agent->id, generation};
  pipe->agent = std::move(agent);
  if (auto old = pipes_.find(key); old != pipes_.end()) end(PipePtr(old->second));
  // Edge-triggered: a pipe that waits for its rate, or holds half a frame, must not wake the loop
  // again and again.
  auto watched = loop_.watch(pipe->fd.get(), EPOLLIN | EPOLLET,
                             [this, weak = std::weak_ptr(pipe)](std::uint32_t) {
                               if (auto woken = weak.lock(); woken && woken->timer == 0)
                                 make_ready(woken);
                             });
  if (!watched) {
    tell_limit(*pipe->agent, "its log pipe cannot be watched: " + watched.error().message);
    return;
  }
  pipes_.emplace(std::move(key), pipe);
  make_ready(pipe);
}

void LogDrain::finish(const AgentId& agent, Generation generation, std::function<void()> done) {
  auto it = pipes_.find({agent, generation});
  if (it == pipes_.end()) return done();
  PipePtr pipe = it->second;
  if (!finishing(*pipe)) {
    pipe->left = bytes_in(pipe->fd.get());
    pipe->give_up_at = clock_.monotonic() + limits_.finish_patience;
  }
  pipe->done.push_back(std::move(done));
  bool disk_waits = pipe->timer != 0 && pipe->agent->retry_after != Nanos::zero();
  if (!disk_waits) make_ready(pipe);
}

void LogDrain::forget(const AgentId& agent) {
  auto it = pipes_.lower_bound({agent, Generation{}});
  while (it != pipes_.end() && it->first.first == agent) {
    PipePtr pipe = (it++)->second;
    end(pipe);
  }
}

void LogDrain::make_ready(const PipePtr& pipe) {
  if (pipe->ready || !pipe->fd) return;
  if (pipe->timer != 0) loop_.cancel(std::exchange(pipe->timer, 0));
  pipe->ready = true;
  ready_.push_back(pipe);
  schedule();
}

void LogDrain::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.post([this] {
    scheduled_ = false;
    run_turns();
  });
}

void LogDrain::run_turns() {
  for (int i = 0; i < kTurnsAtOnce && !ready_.empty(); ++i) {
    PipePtr pipe = std::move(ready_.front());
    ready_.pop_front();
    pipe->ready = false;
    if (pipe->fd) turn(pipe);
  }
  if (!ready_.empty()) schedule();
}

void LogDrain::turn(const PipePtr& pipe) {
  if (finishing(*pipe) && pipe->left == 0) return end(pipe);
  std::size_t allowed = allowance(pipe);
  if (allowed == 0) return;
  auto peeked = tee_.peek(pipe->fd.get(), allowed);
  if (!peeked) {
    add_note(pipe, "the worker's log pipe is closed: " + peeked.error().message);
    return end(pipe);
  }
  if (peeked->empty()) return nothing_more(pipe, 0);
  pipe->mark.set(CallMarks::Row::kAtIt);
  FrameBatch batch = read_frames(*peeked, pipe->last_seq, pipe->resumed);
  pipe->mark.set({});
  if (batch.consumed == 0 && !batch.broken) return nothing_more(pipe, peeked->size());
  if (!store(pipe, batch)) return;
  auto consumed = tee_.discard(pipe->fd.get(), batch.consumed);
  account(*pipe, batch);
  if (!batch.records.empty()) hooks_.on_stored(pipe->agent->id);
  if (!batch.complaint.empty()) tell_limit(*pipe->agent, batch.complaint);
  if (batch.broken || !consumed) return end(pipe);
  make_ready(pipe);
}

// How much of the pipe may be taken now; 0: not yet, and a timer is set.
std::size_t LogDrain::allowance(const PipePtr& pipe) {
  if (finishing(*pipe)) return LogTee::kMaxPeek;
  AgentLog& agent = *pipe->agent;
  Nanos now = clock_.monotonic();
  std::unique_lock lock(agent.mutex);
  double enough = agent.waiting_since ? kResumeBytes : 1;
  Nanos delay = agent.bucket.wait_for(enough, now);
  if (delay == Nanos::zero() ||
      bytes_in(pipe->fd.get()) == 0) {  // an empty pipe is not held up by its rate
    if (agent.waiting_since)
      agent.usage.throttled += now - *std::exchange(agent.waiting_since, std::nullopt);
    if (agent.bucket.unlimited()) return LogTee::kMaxPeek;
    auto tokens = std::max(agent.bucket.available(now), 0.0);
    return std::clamp(static_cast<std::size_t>(tokens), kMaxFrameBytes, LogTee::kMaxPeek);
  }
  bool begins = !agent.waiting_since;
  if (begins) agent.waiting_since = now;
  Nanos so_far = agent.usage.throttled;
  lock.unlock();
  wait(pipe, std::clamp(delay, kShortestWait, kLongestWait));
  if (begins) {
    tell_limit(agent, fmt::format("the log rate is reached: its output waits ({} so far)",
                                  format_duration(so_far)));
  }
  return 0;
}

// False: the disk would not have it; a timer is set, or the pipe was given up.
bool LogDrain::store(const PipePtr& pipe, const FrameBatch& batch) {
  if (batch.records.empty()) return true;
  AgentLog& agent = *pipe->agent;
  auto seq = batch.new_frames > 0 ? std::optional(batch.last_seq) : std::nullopt;
  auto stored = agent.log->append(pipe->generation, batch.records, seq);
  if (stored) {
    agent.retry_after = Nanos::zero();
    return true;
  }
  if (stored.error().code == Code::kNotFound) {
    end(pipe);  // removed meanwhile
    return false;
  }
  Nanos delay = write_failed(agent, stored.error());
  if (finishing(*pipe) && clock_.monotonic() >= pipe->give_up_at) {
    hooks_.on_limit(
        agent.id, fmt::format("{} bytes of log could not be written before its pipe was closed: {}",
                              bytes_in(pipe->fd.get()), stored.error().message));
    end(pipe);
    return false;
  }
  wait(pipe, delay);
  return false;
}

void LogDrain::account(Pipe& pipe, const FrameBatch& batch) {
  pipe.last_seq = batch.last_seq;
  pipe.left -= std::min(pipe.left, batch.consumed);
  std::lock_guard lock(pipe.agent->mutex);
  pipe.agent->bucket.charge(static_cast<double>(batch.consumed));
  pipe.agent->usage.bytes += batch.text_bytes;
  pipe.agent->usage.lines += batch.new_frames;
}

void LogDrain::nothing_more(const PipePtr& pipe, std::size_t torn_bytes) {
  if (!finishing(*pipe)) return;  // the next event makes it ready
  if (torn_bytes > 0)
    add_note(pipe,
             fmt::format("the last {} bytes were no whole line and are left out", torn_bytes));
  end(pipe);
}

void LogDrain::wait(const PipePtr& pipe, Nanos delay) {
  if (pipe->timer != 0) return;
  pipe->timer = loop_.call_after(delay, [this, weak = std::weak_ptr(pipe)] {
    auto waiting = weak.lock();
    if (!waiting) return;
    waiting->timer = 0;
    make_ready(waiting);
  });
}

void LogDrain::end(const PipePtr& pipe) {
  if (!pipe->fd) return;
  if (pipe->timer != 0) loop_.cancel(std::exchange(pipe->timer, 0));
  loop_.unwatch(pipe->fd.get());
  pipe->fd.reset();
  pipes_.erase({pipe->agent->id, pipe->generation});
  for (auto& done : std::exchange(pipe->done, {})) done();
}

void LogDrain::add_note(const PipePtr& pipe, const std::string& text) {
  tell_limit(*pipe->agent, text);
  LogRecord line{.stream = LogStream::kSystem, .time_ns = clock_.wall().count(), .text = text};
  if (pipe->agent->log->append(pipe->generation, {&line, 1}, std::nullopt))
    hooks_.on_stored(pipe->agent->id);
}

Nanos LogDrain::write_failed(AgentLog& agent, const Error& error) {
  if (agent.retry_after == Nanos::zero()) {
    hooks_.on_limit(agent.id, "its log cannot be written, its output waits: " + error.message);
    agent.retry_after = limits_.retry_first;
  } else {
    agent.retry_after = std::min(agent.retry_after * 2, limits_.retry_max);
  }
  return agent.retry_after;
}

void LogDrain::tell_limit(AgentLog& agent, const std::string& message) {
  Nanos now = clock_.monotonic();
  if (agent.limit_told && now - *agent.limit_told < limits_.limit_every) return;
  agent.limit_told = now;
  hooks_.on_limit(agent.id, message);
}

void LogDrain::flush(const std::shared_ptr<AgentLog>& agent) {
  std::vector<WaitingLine> lines;
  {
    std::lock_guard lock(agent->mutex);
    lines.swap(agent->waiting);
  }
  Written written = write_lines(*agent, lines);
  bool more = give_back(*agent, std::move(lines), written);
  if (written.lines > 0) hooks_.on_stored(agent->id);
  if (written.retry) {
    loop_.call_after(*written.retry, [this, agent] { flush(agent); });
  } else if (more) {
    loop_.post([this, agent] { flush(agent); });
  }
}

LogDrain::Written LogDrain::write_lines(AgentLog& agent, const std::vector<WaitingLine>& lines) {
  Written written;
  while (written.lines < lines.size()) {
    std::vector<LogRecord> records;
    std::size_t bytes = 0;
    for (std::size_t i = written.lines; i < lines.size(); ++i) {
      const WaitingLine& line = lines[i];
      bool next_chunk = line.generation != lines[written.lines].generation ||
                        bytes + line.bytes() > kMaxChunkText;
      if (!records.empty() && next_chunk) break;
      records.push_back({line.stream, line.flags, line.time_ns, line.text});
      bytes += line.bytes();
    }
    auto stored = agent.log->append(lines[written.lines].generation, records, std::nullopt);
    if (!stored && stored.error().code != Code::kNotFound) {
      written.retry = write_failed(agent, stored.error());
      break;
    }
    agent.retry_after = Nanos::zero();
    written.lines += records.size();
    written.bytes += bytes;
  }
  return written;
}

// What was not written waits again, before what came meanwhile. True: there is something to write
// at once.
bool LogDrain::give_back(AgentLog& agent, std::vector<WaitingLine> lines, const Written& written) {
  std::lock_guard lock(agent.mutex);
  auto rest = lines.begin() + static_cast<std::ptrdiff_t>(written.lines);
  agent.waiting.insert(agent.waiting.begin(), std::make_move_iterator(rest),
                       std::make_move_iterator(lines.end()));
  agent.waiting_bytes -= written.bytes;
  agent.usage.lines += written.lines;
  for (auto line = lines.begin(); line != rest; ++line) agent.usage.bytes += line->text.size();
  agent.flush_due = !agent.waiting.empty();
  return agent.flush_due;
}

}  // namespace flodea::control
