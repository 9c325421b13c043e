// Every transition, limit and refusal, with its reason: on disk (state.db) before it is announced.
// Bounded; oldest go first.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_kinds.h"
#include "base/result.h"
#include "base/selector.h"

namespace flodea::control {

struct Event {
  std::uint64_t id = 0;  // given by the log, rises by one
  Nanos time{};          // wall; given by the log when zero
  std::string kind;      // event_kind("agent.state") (base/event_kinds.h)
  std::string agent;     // name, or empty
  std::string from;      // states, for agent.state
  std::string to;
  std::string reason;
  std::string message;
  std::uint64_t generation = 0;
  std::string cause;                          // "uid 1000", "agent", "policy", "host", or empty
  std::map<std::string, std::string> labels;  // of the agent then; given by the log when empty
};

// What is empty holds of every event; a selector only of agents' events.
struct EventFilter {
  std::set<std::string> agents, kinds;
  Selector selector;

  bool takes_all() const { return agents.empty() && kinds.empty() && selector.selects_all(); }
  bool takes(const std::string& agent, const std::string& kind,
             const std::map<std::string, std::string>& labels) const;
};

struct EventQuery {
  EventFilter filter;
  std::uint64_t after_id = 0;
  Nanos since{};
  std::optional<Nanos>
      until;  // recorded at or before; a clock that was set back counts as standing
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
  // The labels of this agent's events from now on.
  virtual void set_labels(const std::string& agent, std::map<std::string, std::string> labels) = 0;
  // Pages, oldest first; an empty page: nothing more for now. `tail` says where the first page
  // begins; go on with `after_id`.
  virtual Result<std::vector<Event>> query(const EventQuery& query) const = 0;
  struct Bounds {
    std::uint64_t first = 1, last = 0;  // ids of the oldest and the newest; none: first > last
  };
  virtual Bounds bounds() const = 0;
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
