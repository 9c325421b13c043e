// The table `events` of state.db. Ids rise by one and only the oldest rows are ever deleted, so
// that counting needs no count. Not thread-safe: EventLog holds its lock around every call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/sqlite.h"
#include "supervisor/control/monitoring/event_log.h"
#include "supervisor/control/monitoring/event_streams.h"

namespace flodea::control {

class EventTable {
 public:
  static Result<EventTable> open(const std::string& path, std::uint64_t max_events);

  Result<std::uint64_t> insert(const Event& event);  // its id
  Result<std::vector<Event>> page(const EventQuery& query);
  EventLog::Bounds bounds() const { return {.first = first_id_, .last = last_id_}; }

 private:
  using Ids = std::vector<std::int64_t>;
  struct Statements {
    sqlite::Statement insert, trim, first_since, last_until, page, row, oldest, newest, tail;
  };
  struct Range {
    std::uint64_t first = 1, last = 0;
  };
  EventTable(sqlite::Database db, Statements statements, EventStreams streams,
             std::uint64_t max_events)
      : db_(std::move(db)),
        streams_(std::move(streams)),
        sql_(std::move(statements)),
        max_events_(max_events) {}
  Status read_bounds();
  Status trim();
  Event read_row(const sqlite::Statement& row) const;
  Result<Range> range_of(const EventQuery& query);
  Result<std::uint64_t> first_of_tail(const EventQuery& query, Range range);
  Result<std::vector<Event>> all_of(const EventQuery& query, Range range);
  Result<std::vector<Event>> filtered(const EventQuery& query, Range range);
  enum class End { kOldest, kNewest };
  Result<Ids> ids_of(const EventQuery& query, Range range, End end, std::size_t most);

  sqlite::Database db_;
  EventStreams streams_;
  Statements sql_;  // after db_: ends first
  std::uint64_t max_events_;
  std::uint64_t first_id_ = 1;  // of the oldest row
  std::uint64_t last_id_ = 0;
  std::int64_t stored_ns_ = 0;  // never falls; no earlier event has a later time
};

}  // namespace flodea::control
