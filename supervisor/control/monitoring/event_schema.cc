#include "supervisor/control/monitoring/event_schema.h"

namespace flodea::control {
namespace {

// `stored` is the highest time so far: it rises with the id, so `since` finds its place although
// clocks are set back. A stream is one kind of event of one agent with its labels then: few rows,
// by which any filter finds its events without looking at others.
constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS event_streams (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, kind TEXT NOT NULL, labels TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, stored INTEGER NOT NULL, stream INTEGER NOT NULL,
    from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
    generation INTEGER NOT NULL, cause TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream);
  CREATE INDEX IF NOT EXISTS events_by_time ON events (stored);
)";

// From events that had agent and kind in each row.
constexpr const char* kPutAside = R"(
  DROP INDEX IF EXISTS events_by_agent;
  DROP INDEX IF EXISTS events_by_time;
  ALTER TABLE events RENAME TO old_events;
)";
constexpr const char* kTakeOver = R"(
  INSERT INTO event_streams (agent, kind, labels) SELECT DISTINCT agent, kind, '' FROM old_events;
  INSERT INTO events SELECT o.id, o.time, o.stored, s.id, o.from_state, o.to_state, o.reason,
    o.message, o.generation, '' FROM old_events o
    JOIN event_streams s ON s.agent = o.agent AND s.kind = o.kind ORDER BY o.id;
  DROP TABLE old_events;
)";

Result<bool> has_earlier_form(sqlite::Database& db) {
  auto column =
      TRY(db.prepare("SELECT count(*) FROM pragma_table_info('events') WHERE name = 'kind'"));
  TRY(column.step());
  return column.integer(0) != 0;
}

}  // namespace

Status prepare_event_tables(sqlite::Database& db) {
  auto transaction = TRY(sqlite::Transaction::begin(db));
  bool earlier = TRY(has_earlier_form(db));
  if (earlier) TRY(db.exec(kPutAside));
  TRY(db.exec(kSchema));
  if (earlier) TRY(db.exec(kTakeOver));
  return transaction.commit();
}

}  // namespace flodea::control
