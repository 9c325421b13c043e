// The streams of the event log: each is one kind of event of one agent, with the labels that the
// agent had. Kept in memory and in the table `event_streams`; a filter is answered here, so that
// only events that pass it are read. Those without events are forgotten. Not thread-safe: EventLog
// holds its lock around every call.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/sqlite.h"
#include "supervisor/control/monitoring/event_log.h"

namespace flodea::control {

struct EventStream {
  std::string agent, kind;
  std::map<std::string, std::string> labels;
  std::uint64_t last_event = 0;
};

class EventStreams {
 public:
  static Result<EventStreams> load(sqlite::Database& db);

  // The event's stream; made where there is none yet.
  Result<std::int64_t> place(sqlite::Database& db, const Event& event);
  void note(std::int64_t id, std::uint64_t event) { streams_.at(id).last_event = event; }
  const EventStream* find(std::int64_t id) const;
  // Those that the filter takes and that have events from `first` on.
  std::vector<std::int64_t> matching(const EventFilter& filter, std::uint64_t first) const;
  // Forgets those whose events all came before `first`.
  Status forget_before(sqlite::Database& db, std::uint64_t first);

 private:
  void add(std::int64_t id, EventStream stream);
  std::unordered_map<std::int64_t, EventStream> streams_;
  std::unordered_map<std::string, std::int64_t> by_key_;
};

}  // namespace flodea::control
