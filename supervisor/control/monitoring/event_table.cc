#include "supervisor/control/monitoring/event_table.h"

#include <sqlite3.h>

#include <algorithm>
#include <queue>

#include "supervisor/control/monitoring/event_schema.h"

namespace flodea::control {
namespace {

constexpr std::uint32_t kMaxPage = 10'000;
constexpr std::uint64_t kTrimBatch = 256;

#define FLODEA_EVENT_COLUMNS \
  "id, time, stream, from_state, to_state, reason, message, generation, cause"
constexpr const char* kInsert = "INSERT INTO events (" FLODEA_EVENT_COLUMNS
                                ", stored) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
constexpr const char* kTrim = "DELETE FROM events WHERE id <= ?1";
constexpr const char* kFirstSince =
    "SELECT id FROM events WHERE stored >= ?1 ORDER BY stored, id LIMIT 1";
constexpr const char* kLastUntil =
    "SELECT id FROM events WHERE stored <= ?1 ORDER BY stored DESC, id DESC LIMIT 1";
constexpr const char* kPage =
    "SELECT " FLODEA_EVENT_COLUMNS
    " FROM events WHERE id BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY id LIMIT ?4";
constexpr const char* kRow = "SELECT " FLODEA_EVENT_COLUMNS " FROM events WHERE id = ?1";
constexpr const char* kOldest =
    "SELECT id FROM events WHERE stream = ?4 AND id BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY id";
constexpr const char* kNewest =
    "SELECT id FROM events WHERE stream = ?4 AND id BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY id "
    "DESC";
constexpr const char* kTail =
    "SELECT id FROM events WHERE id BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY id DESC LIMIT 1 "
    "OFFSET ?4";
#undef FLODEA_EVENT_COLUMNS

std::int64_t sql(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
}

// The first column of the first row, or `otherwise`.
Result<std::int64_t> first_integer(sqlite::Statement& statement, std::int64_t otherwise) {
  bool row = TRY(statement.step());
  std::int64_t value = row ? statement.integer(0) : otherwise;
  statement.reset();
  return value;
}

// Many short reads as one: each alone would take and leave the file's lock, which is most of its
// time.
class ReadTogether {
 public:
  explicit ReadTogether(sqlite::Database& db) : db_(db), begun_(db.exec("BEGIN").has_value()) {}
  ReadTogether(const ReadTogether&) = delete;
  ReadTogether& operator=(const ReadTogether&) = delete;
  ~ReadTogether() {
    if (begun_) (void)db_.exec("COMMIT");
  }

 private:
  sqlite::Database& db_;
  bool begun_;
};

}  // namespace

Result<EventTable> EventTable::open(const std::string& path, std::uint64_t max_events) {
  auto db = TRY(sqlite::Database::open(
      path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX));
  TRY(db.exec("PRAGMA busy_timeout=5000; PRAGMA trusted_schema=OFF"));
  // NORMAL: an event outlives the death of every process; the last ones may be missing after a
  // power failure.
  TRY(db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"));
  TRY(prepare_event_tables(db));
  Statements statements{
      TRY(db.prepare(kInsert)),    TRY(db.prepare(kTrim)),   TRY(db.prepare(kFirstSince)),
      TRY(db.prepare(kLastUntil)), TRY(db.prepare(kPage)),   TRY(db.prepare(kRow)),
      TRY(db.prepare(kOldest)),    TRY(db.prepare(kNewest)), TRY(db.prepare(kTail))};
  auto streams = TRY(EventStreams::load(db));
  EventTable table(std::move(db), std::move(statements), std::move(streams),
                   std::max<std::uint64_t>(max_events, 1));
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
  std::int64_t stream = TRY(streams_.place(db_, event));
  std::int64_t stored = std::max(stored_ns_, event.time.count());
  sql_.insert.bind(1, sql(last_id_ + 1)).bind(2, event.time.count()).bind(3, stream);
  sql_.insert.bind(4, event.from).bind(5, event.to).bind(6, event.reason).bind(7, event.message);
  sql_.insert.bind(8, sql(event.generation)).bind(9, event.cause).bind(10, stored);
  TRY(sql_.insert.run());
  stored_ns_ = stored;
  streams_.note(stream, ++last_id_);
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
  return streams_.forget_before(db_, first_id_);
}

// ---- reading

Event EventTable::read_row(const sqlite::Statement& row) const {
  Event event{.id = static_cast<std::uint64_t>(row.integer(0)),
              .time = Nanos(row.integer(1)),
              .from = row.text(3),
              .to = row.text(4),
              .reason = row.text(5),
              .message = row.text(6),
              .generation = static_cast<std::uint64_t>(row.integer(7)),
              .cause = row.text(8)};
  if (const EventStream* stream = streams_.find(row.integer(2))) {
    event.agent = stream->agent;
    event.kind = stream->kind;
    event.labels = stream->labels;
  }
  return event;
}

Result<std::vector<Event>> EventTable::page(const EventQuery& query) {
  Range range = TRY(range_of(query));
  if (range.first > range.last || query.tail == 0u) return std::vector<Event>();
  return query.filter.takes_all() ? all_of(query, range) : filtered(query, range);
}

// Between these ids lies all that is wanted.
Result<EventTable::Range> EventTable::range_of(const EventQuery& query) {
  Range range{.first = std::max(std::min(query.after_id, last_id_) + 1, first_id_),
              .last = last_id_};
  if (query.since > Nanos::zero()) {
    sql_.first_since.bind(1, query.since.count());
    auto since = TRY(first_integer(sql_.first_since, sql(last_id_ + 1)));
    range.first = std::max(range.first, static_cast<std::uint64_t>(since));
  }
  if (query.until) {
    sql_.last_until.bind(1, query.until->count());
    range.last = static_cast<std::uint64_t>(TRY(first_integer(sql_.last_until, 0)));
  }
  return range;
}

Result<std::vector<Event>> EventTable::all_of(const EventQuery& query, Range range) {
  if (query.tail) range.first = TRY(first_of_tail(query, range));
  sql_.page.bind(1, sql(range.first)).bind(2, sql(range.last)).bind(3, query.since.count());
  sql_.page.bind(4, std::int64_t{std::min(query.limit, kMaxPage)});
  std::vector<Event> events;
  auto row = sql_.page.step();
  for (; row && *row; row = sql_.page.step()) events.push_back(read_row(sql_.page));
  sql_.page.reset();
  if (!row) return tl::unexpected(std::move(row).error());
  return events;
}

Result<std::uint64_t> EventTable::first_of_tail(const EventQuery& query, Range range) {
  std::uint64_t tail = *query.tail;
  if (tail > range.last - range.first) return range.first;
  if (query.since == Nanos::zero()) return range.last + 1 - tail;  // ids have no gaps
  sql_.tail.bind(1, sql(range.first)).bind(2, sql(range.last)).bind(3, query.since.count());
  sql_.tail.bind(4, sql(tail) - 1);
  return static_cast<std::uint64_t>(TRY(first_integer(sql_.tail, sql(range.first))));
}

Result<std::vector<Event>> EventTable::filtered(const EventQuery& query, Range range) {
  ReadTogether reading(db_);
  std::size_t limit = std::min(query.limit, kMaxPage);
  Ids ids = query.tail ? TRY(ids_of(query, range, End::kNewest, *query.tail))
                       : TRY(ids_of(query, range, End::kOldest, limit));
  std::ranges::sort(ids);
  if (ids.size() > limit) ids.resize(limit);
  std::vector<Event> events;
  for (std::int64_t id : ids) {
    sql_.row.bind(1, id);
    if (TRY(sql_.row.step())) events.push_back(read_row(sql_.row));
    sql_.row.reset();
  }
  return events;
}

// At most `most` ids of the filter's streams, from one end of the range. Of each stream only so
// many are looked at as are among them, and one more.
Result<EventTable::Ids> EventTable::ids_of(const EventQuery& query, Range range, End end,
                                           std::size_t most) {
  std::int64_t sign = end == End::kOldest ? 1 : -1;
  sqlite::Statement& statement = end == End::kOldest ? sql_.oldest : sql_.newest;
  std::priority_queue<std::int64_t> best;  // of sign × id: the worst on top
  for (std::int64_t stream : streams_.matching(query.filter, range.first)) {
    statement.bind(1, sql(range.first)).bind(2, sql(range.last)).bind(3, query.since.count());
    statement.bind(4, stream);
    auto row = statement.step();
    for (; row && *row; row = statement.step()) {
      std::int64_t rank = sign * statement.integer(0);
      bool full = best.size() >= most;
      if (full && rank >= best.top()) break;
      if (full) best.pop();
      best.push(rank);
    }
    statement.reset();
    if (!row) return tl::unexpected(std::move(row).error());
  }
  Ids ids;
  for (; !best.empty(); best.pop()) ids.push_back(sign * best.top());
  return ids;
}

}  // namespace flodea::control
