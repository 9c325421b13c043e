// The agents' logs: drains each instance's kept pipe (tee, write, only then consume; sequence
// numbers already stored are skipped) into encrypted, bounded segments under logs/<agent id>/, and
// reads them back, also while the agent is stopped. One thread of its own watches all pipes; each
// agent's bytes a second are held to its rate (back-pressure through the pipe).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/call_marks.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log_frame.h"
#include "base/unique_fd.h"
#include "policy/agent_spec.h"

namespace flodea::control {

using LogKey =
    std::array<unsigned char, 32>;  // XChaCha20-Poly1305; held in locked memory by the store

struct LogLine {
  Nanos time{};  // wall
  LogStream stream = LogStream::kStdout;
  bool partial = false;
  std::uint64_t generation = 0;
  std::string text;
  std::string cursor;  // opaque, ordered; names the place after this line
};

struct LogQuery {
  Nanos since{};
  std::optional<std::uint32_t> tail;
  std::string cursor;         // go on after this
  std::uint32_t limit = 500;  // lines of one page
};

struct LogUsage {
  std::uint64_t bytes = 0;  // taken in, since control started
  std::uint64_t lines = 0;
  Nanos throttled{};  // how long the agent's pipe was left waiting for its rate
  std::uint64_t stored_bytes = 0;
};

class LogStore {
 public:
  using Subscriber =
      std::function<void()>;  // "there is more"; called on the store's thread, must not block
  virtual ~LogStore() = default;

  // All thread-safe; none but `open`, `read` and `remove` touches the disk on the caller's thread.
  // `open` before anything else of an agent; again with another policy changes it.
  virtual Status open(const AgentId& agent, const LogKey& key, const LogPolicy& policy,
                      std::uint64_t bytes_per_second) = 0;
  // Whether an opening is on its way: who reads waits for it then, for kOpeningLimit at most.
  virtual void expect(const AgentId& agent, bool opening) = 0;
  static constexpr Nanos kOpeningLimit = std::chrono::seconds(5);
  // Starts draining an instance's pipe; also after control was started again (adoption).
  virtual Status attach(const AgentId& agent, Generation generation, UniqueFd pipe) = 0;
  // Reads what still is in the pipe, without waiting for more, then closes it; `done` runs on the
  // store's thread.
  virtual void finish(const AgentId& agent, Generation generation, std::function<void()> done) = 0;
  // A line of Flodea itself (kSystem) or of Self/Log (kStructured).
  virtual Status append(const AgentId& agent, Generation generation, LogStream stream,
                        std::string text) = 0;
  // kResourceExhausted: too much waits to be written, or (kStructured) the agent is over its rate.
  // Pages, oldest line first; an empty page: nothing more for now. A follower goes on after the
  // last line's cursor, also when its segment is gone (then at the oldest line there is). `cursor`
  // wins over `tail`. Reads files: not on a thread that must not block.
  virtual Result<std::vector<LogLine>> read(const AgentId& agent, const LogQuery& query) const = 0;
  virtual std::uint64_t subscribe(const AgentId& agent, Subscriber subscriber) = 0;
  // On return no call of it runs, unless it is the caller: hold no lock that the subscriber takes.
  virtual void unsubscribe(const AgentId& agent, std::uint64_t id) = 0;
  virtual LogUsage usage(const AgentId& agent) const = 0;
  virtual Status remove(
      const AgentId& agent) = 0;  // segments are gone; its key was destroyed by the vault
};

struct LogStoreLimits {
  std::size_t waiting_bytes = 256 * 1024;  // of appended lines not yet on disk, per agent
  Nanos retry_first = std::chrono::milliseconds(100);  // after a failed write (disk full), doubling
  Nanos retry_max = std::chrono::seconds(5);
  Nanos finish_patience = std::chrono::seconds(10);  // how long `finish` goes on trying to write
  Nanos limit_every = std::chrono::seconds(10);      // at most one call of on_limit per agent
};

struct LogStoreConfig {
  UniqueFd directory;  // logs/, 0700
  const Clock& clock;  // outlives the store
  // An agent ran into its rate, broke the frame protocol, or its log cannot be written. On the
  // store's thread (`open`: the caller's); must not block.
  std::function<void(const AgentId&, const std::string& message)> on_limit;
  LogStoreLimits limits{};
  std::shared_ptr<CallMarks> marks = {};  // none: a crash leaves no trace
};

Result<std::unique_ptr<LogStore>> make_log_store(LogStoreConfig config);

}  // namespace flodea::control
