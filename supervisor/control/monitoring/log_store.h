// The agents' logs: drains each instance's kept pipe (tee, write, only then consume; sequence numbers already stored are skipped) into
// encrypted, bounded segments under logs/<agent id>/, and reads them back, also while the agent is stopped.
// One thread of its own watches all pipes; each agent's bytes a second are held to its rate (back-pressure through the pipe).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log_frame.h"
#include "base/unique_fd.h"
#include "policy/agent_spec.h"

namespace flodea::control {

using LogKey = std::array<unsigned char, 32>;  // XChaCha20-Poly1305; held in locked memory by the store

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
  std::uint64_t bytes = 0;    // taken in, since control started
  std::uint64_t lines = 0;
  Nanos throttled{};          // how long the agent's pipe was left waiting for its rate
  std::uint64_t stored_bytes = 0;
};

class LogStore {
 public:
  using Subscriber = std::function<void()>;  // "there is more"; called on the store's thread, must not block
  virtual ~LogStore() = default;

  // All thread-safe. `open` before anything else of an agent; again with another policy changes it.
  virtual Status open(const AgentId& agent, const LogKey& key, const LogPolicy& policy, std::uint64_t bytes_per_second) = 0;
  // Starts draining an instance's pipe; also after control was started again (adoption).
  virtual Status attach(const AgentId& agent, Generation generation, UniqueFd pipe) = 0;
  // Reads what still is in the pipe, without waiting for more, then closes it; `done` runs on the store's thread.
  virtual void finish(const AgentId& agent, Generation generation, std::function<void()> done) = 0;
  // A line of Flodea itself (kSystem) or of Self/Log (kStructured).
  virtual Status append(const AgentId& agent, Generation generation, LogStream stream, std::string text) = 0;
  virtual Result<std::vector<LogLine>> read(const AgentId& agent, const LogQuery& query) const = 0;
  virtual std::uint64_t subscribe(const AgentId& agent, Subscriber subscriber) = 0;
  virtual void unsubscribe(const AgentId& agent, std::uint64_t id) = 0;
  virtual LogUsage usage(const AgentId& agent) const = 0;
  virtual Status remove(const AgentId& agent) = 0;  // segments are gone; its key was destroyed by the vault
};

}  // namespace flodea::control
