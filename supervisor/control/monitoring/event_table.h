// The table `events` of state.db. Ids rise by one and only the oldest rows are ever deleted, so
// that counting needs no count. Not thread-safe: EventLog holds its lock around every call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/sqlite.h"
#include "supervisor/control/monitoring/event_log.h"

namespace flodea::control {

class EventTable {
 public:
  static Result<EventTable> open(const std::string& path, std::uint64_t max_events);

  Result<std::uint64_t> insert(const Event& event);  // its id
  Result<std::vector<Event>> page(const EventQuery& query);

 private:
  struct Statements {
    sqlite::Statement insert, trim, first_since, all_page, agent_page, all_tail, agent_tail;
  };
  EventTable(sqlite::Database db, Statements statements, std::uint64_t max_events)
      : db_(std::move(db)), sql_(std::move(statements)), max_events_(max_events) {}
  Status read_bounds();
  Status trim();
  Result<std::uint64_t> first_wanted(const EventQuery& query);
  Result<std::uint64_t> first_of_tail(const EventQuery& query, std::uint64_t first);

  sqlite::Database db_;
  Statements sql_;  // after db_: ends first
  std::uint64_t max_events_;
  std::uint64_t first_id_ = 1;  // of the oldest row
  std::uint64_t last_id_ = 0;
  std::int64_t stored_ns_ = 0;  // never falls; no earlier event has a later time
};

}  // namespace flodea::control
