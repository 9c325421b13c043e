#include "supervisor/control/monitoring/event_streams.h"

#include <string_view>

namespace flodea::control {
namespace {

using Labels = std::map<std::string, std::string>;

// "key=value,key=value": neither has these characters in it (docs/manifest.md).
std::string text_of(const Labels& labels) {
  std::string text;
  for (const auto& [key, value] : labels) {
    if (!text.empty()) text += ',';
    text.append(key).append("=").append(value);
  }
  return text;
}

Labels labels_of(std::string_view text) {
  Labels labels;
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    std::size_t equals = std::min(one.find('='), one.size());
    std::string_view value = one.substr(std::min(equals + 1, one.size()));
    labels.emplace(one.substr(0, equals), value);
  }
  return labels;
}

std::string key_of(const std::string& agent, const std::string& kind, const std::string& labels) {
  return agent + '\0' + kind + '\0' + labels;
}

}  // namespace

Result<EventStreams> EventStreams::load(sqlite::Database& db) {
  auto rows = TRY(
      db.prepare("SELECT s.id, s.agent, s.kind, s.labels, (SELECT max(e.id) FROM events e WHERE "
                 "e.stream = s.id) FROM event_streams s"));
  EventStreams streams;
  while (TRY(rows.step())) {
    streams.add(rows.integer(0), {.agent = rows.text(1),
                                  .kind = rows.text(2),
                                  .labels = labels_of(rows.text(3)),
                                  .last_event = static_cast<std::uint64_t>(rows.integer(4))});
  }
  return streams;
}

void EventStreams::add(std::int64_t id, EventStream stream) {
  by_key_[key_of(stream.agent, stream.kind, text_of(stream.labels))] = id;
  streams_[id] = std::move(stream);
}

Result<std::int64_t> EventStreams::place(sqlite::Database& db, const Event& event) {
  std::string labels = text_of(event.labels);
  auto known = by_key_.find(key_of(event.agent, event.kind, labels));
  if (known != by_key_.end()) return known->second;
  auto insert =
      TRY(db.prepare("INSERT INTO event_streams (agent, kind, labels) VALUES (?1, ?2, ?3)"));
  TRY(insert.bind(1, event.agent).bind(2, event.kind).bind(3, labels).run());
  std::int64_t id = db.last_insert_rowid();
  add(id, {.agent = event.agent, .kind = event.kind, .labels = event.labels});
  return id;
}

const EventStream* EventStreams::find(std::int64_t id) const {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

std::vector<std::int64_t> EventStreams::matching(const EventFilter& filter,
                                                 std::uint64_t first) const {
  std::vector<std::int64_t> ids;
  for (const auto& [id, stream] : streams_) {
    if (stream.last_event >= first && filter.takes(stream.agent, stream.kind, stream.labels))
      ids.push_back(id);
  }
  return ids;
}

Status EventStreams::forget_before(sqlite::Database& db, std::uint64_t first) {
  auto remove = TRY(db.prepare("DELETE FROM event_streams WHERE id = ?1"));
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (it->second.last_event >= first) {
      ++it;
      continue;
    }
    TRY(remove.bind(1, it->first).run());
    by_key_.erase(key_of(it->second.agent, it->second.kind, text_of(it->second.labels)));
    it = streams_.erase(it);
  }
  return {};
}

}  // namespace flodea::control
