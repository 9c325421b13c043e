#include "supervisor/control/monitoring/event_table.h"

#include <sqlite3.h>

#include <algorithm>

namespace flodea::control {
namespace {

constexpr std::uint32_t kMaxPage = 10'000;
constexpr std::uint64_t kTrimBatch = 256;

// `stored` is the highest time so far: it rises with the id, so `since` finds its place although
// clocks are set back.
constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, stored INTEGER NOT NULL, kind TEXT NOT NULL, agent TEXT NOT NULL,
    from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, generation INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS events_by_agent ON events (agent);
  CREATE INDEX IF NOT EXISTS events_by_time ON events (stored);
)";

#define FLODEA_EVENT_COLUMNS \
  "id, time, kind, agent, from_state, to_state, reason, message, generation"
constexpr const char* kInsert = "INSERT INTO events (" FLODEA_EVENT_COLUMNS
                                ", stored) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
constexpr const char* kTrim = "DELETE FROM events WHERE id <= ?1";
constexpr const char* kFirstSince =
    "SELECT id FROM events WHERE stored >= ?1 ORDER BY stored, id LIMIT 1";
constexpr const char* kAllPage = "SELECT " FLODEA_EVENT_COLUMNS
                                 " FROM events WHERE id >= ?1 AND time >= ?2 ORDER BY id LIMIT ?3";
constexpr const char* kAgentPage =
    "SELECT " FLODEA_EVENT_COLUMNS
    " FROM events WHERE agent = ?4 AND id >= ?1 AND time >= ?2 ORDER BY id LIMIT ?3";
constexpr const char* kAllTail =
    "SELECT id FROM events WHERE id >= ?1 AND time >= ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3";
constexpr const char* kAgentTail =
    "SELECT id FROM events WHERE agent = ?4 AND id >= ?1 AND time >= ?2 ORDER BY id DESC LIMIT 1 "
    "OFFSET ?3";
#undef FLODEA_EVENT_COLUMNS

std::int64_t sql(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
}

Event read_row(const sqlite::Statement& row) {
  return {.id = static_cast<std::uint64_t>(row.integer(0)),
          .time = Nanos(row.integer(1)),
          .kind = row.text(2),
          .agent = row.text(3),
          .from = row.text(4),
          .to = row.text(5),
          .reason = row.text(6),
          .message = row.text(7),
          .generation = static_cast<std::uint64_t>(row.integer(8))};
}

// The first column of the first row, or `otherwise`.
Result<std::int64_t> first_integer(sqlite::Statement& statement, std::int64_t otherwise) {
  bool row = TRY(statement.step());
  std::int64_t value = row ? statement.integer(0) : otherwise;
  statement.reset();
  return value;
}

}  // namespace

Result<EventTable> EventTable::open(const std::string& path, std::uint64_t max_events) {
  auto db = TRY(sqlite::Database::open(
      path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX));
  TRY(db.exec("PRAGMA busy_timeout=5000; PRAGMA trusted_schema=OFF"));
  // NORMAL: an event outlives the death of every process; the last ones may be missing after a
  // power failure.
  TRY(db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"));
  TRY(db.exec(kSchema));
  Statements statements{TRY(db.prepare(kInsert)),     TRY(db.prepare(kTrim)),
                        TRY(db.prepare(kFirstSince)), TRY(db.prepare(kAllPage)),
                        TRY(db.prepare(kAgentPage)),  TRY(db.prepare(kAllTail)),
                        TRY(db.prepare(kAgentTail))};
  EventTable table(std::move(db), std::move(statements), std::max<std::uint64_t>(max_events, 1));
  TRY(table.read_bounds());
  return table;
}

Status EventTable::read_bounds() {
  auto bounds =
      TRY(db_.prepare("SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events), (SELECT "
                      "max(stored) FROM events)"));
  TRY(bounds.step());
  if (bounds.is_null(0)) return {};
  first_id_ = static_cast<std::uint64_t>(bounds.integer(0));
  last_id_ = static_cast<std::uint64_t>(bounds.integer(1));
  stored_ns_ = bounds.integer(2);
  return {};
}

Result<std::uint64_t> EventTable::insert(const Event& event) {
  std::int64_t stored = std::max(stored_ns_, event.time.count());
  sql_.insert.bind(1, sql(last_id_ + 1))
      .bind(2, event.time.count())
      .bind(3, event.kind)
      .bind(4, event.agent);
  sql_.insert.bind(5, event.from).bind(6, event.to).bind(7, event.reason).bind(8, event.message);
  sql_.insert.bind(9, sql(event.generation)).bind(10, stored);
  TRY(sql_.insert.run());
  stored_ns_ = stored;
  ++last_id_;
  // What cannot be deleted now is deleted with the next batch.
  if (last_id_ - first_id_ + 1 >= max_events_ + kTrimBatch) (void)trim();
  return last_id_;
}

Status EventTable::trim() {
  std::uint64_t keep_from = last_id_ + 1 - max_events_;
  // A lowered bound is reached in steps, so that no event waits for a long deletion.
  keep_from = std::min(keep_from, first_id_ + 4 * kTrimBatch);
  sql_.trim.bind(1, sql(keep_from - 1));
  TRY(sql_.trim.run());
  first_id_ = keep_from;
  return {};
}

Result<std::vector<Event>> EventTable::page(const EventQuery& query) {
  auto first = TRY(first_wanted(query));
  auto& statement = query.agent.empty() ? sql_.all_page : sql_.agent_page;
  statement.bind(1, sql(first))
      .bind(2, query.since.count())
      .bind(3, std::int64_t{std::min(query.limit, kMaxPage)});
  if (!query.agent.empty()) statement.bind(4, query.agent);
  std::vector<Event> events;
  auto row = statement.step();
  for (; row && *row; row = statement.step()) events.push_back(read_row(statement));
  statement.reset();
  if (!row) return tl::unexpected(std::move(row).error());
  return events;
}

// The id from which on all that is wanted lies.
Result<std::uint64_t> EventTable::first_wanted(const EventQuery& query) {
  std::uint64_t first = query.after_id + 1;
  if (query.since > Nanos::zero()) {
    sql_.first_since.bind(1, query.since.count());
    auto since = TRY(first_integer(sql_.first_since, sql(last_id_ + 1)));
    first = std::max(first, static_cast<std::uint64_t>(since));
  }
  if (query.tail) return first_of_tail(query, first);
  return first;
}

Result<std::uint64_t> EventTable::first_of_tail(const EventQuery& query, std::uint64_t first) {
  if (*query.tail == 0) return last_id_ + 1;
  if (query.agent.empty() && query.since == Nanos::zero()) {  // ids have no gaps
    return std::max(first, last_id_ + 1 - std::min<std::uint64_t>(*query.tail, last_id_));
  }
  auto& statement = query.agent.empty() ? sql_.all_tail : sql_.agent_tail;
  statement.bind(1, sql(first)).bind(2, query.since.count()).bind(3, std::int64_t{*query.tail} - 1);
  if (!query.agent.empty()) statement.bind(4, query.agent);
  return static_cast<std::uint64_t>(TRY(first_integer(statement, sql(first))));
}

}  // namespace flodea::control
