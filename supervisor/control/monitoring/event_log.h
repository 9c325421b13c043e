// Every transition, limit and refusal, with its reason: on disk (state.db) before it is announced.
// Bounded; oldest go first.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace flodea::control {

struct Event {
  std::uint64_t id = 0;  // given by the log, rises by one
  Nanos time{};          // wall; given by the log when zero
  // "agent.state", "agent.applied", "agent.removed", "agent.limit", "agent.denied", "service"
  // (docs/events.md)
  std::string kind;
  std::string agent;  // name, or empty
  std::string from;   // states, for agent.state
  std::string to;
  std::string reason;
  std::string message;
  std::uint64_t generation = 0;
};

struct EventQuery {
  std::string agent;  // empty: all
  std::uint64_t after_id = 0;
  Nanos since{};
  std::optional<std::uint32_t> tail;
  std::uint32_t limit = 1000;  // of one page
};

class EventLog {
 public:
  using Subscriber =
      std::function<void(const Event&)>;  // called on the recording thread: must not block
  virtual ~EventLog() = default;
  // Thread-safe. Stored, then announced. A chatty agent (limit and denied events) is held to a rate
  // of its own; what was left out is counted in a later event of the same kind.
  virtual Status record(Event event) = 0;
  // Pages, oldest first; an empty page: nothing more for now. `tail` says where the first page
  // begins; go on with `after_id`.
  virtual Result<std::vector<Event>> query(const EventQuery& query) const = 0;
  virtual std::uint64_t subscribe(Subscriber subscriber) = 0;  // events recorded after this call
  // On return no call of it runs, unless it is the caller: hold no lock that the subscriber takes.
  virtual void unsubscribe(std::uint64_t id) = 0;
};

struct EventLogConfig {
  std::string path;    // of state.db; the log has a connection of its own
  const Clock& clock;  // outlives the log
  std::uint64_t max_events = 1'000'000;
};

// Opened after StateDb, which refuses a file that is not its own. kDataLoss: no database, or
// damaged.
Result<std::unique_ptr<EventLog>> make_event_log(EventLogConfig config);

}  // namespace flodea::control
