#include "cli/output/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "base/quantity.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;
using Json = nlohmann::ordered_json;

// Both of one instance, read one after the other.
void add_rates(const pb::Agent& before, const pb::Agent& after, TopRow& row) {
  const pb::Usage &from = before.usage(), &to = after.usage();
  bool comparable = before.id() == after.id() && before.generation() == after.generation() &&
                    to.read_nanos() > from.read_nanos() && to.cpu_nanos() >= from.cpu_nanos() &&
                    to.calls() >= from.calls();
  if (!comparable) return;
  auto nanos = static_cast<double>(to.read_nanos() - from.read_nanos());
  row.cpu_percent = 100.0 * static_cast<double>(to.cpu_nanos() - from.cpu_nanos()) / nanos;
  row.calls_per_second = 1e9 * static_cast<double>(to.calls() - from.calls()) / nanos;
}

TopRow row_of(const pb::Agent& agent, Nanos now) {
  TopRow row{.name = agent.name(),
             .state = state_word(agent.state()),
             .memory_bytes = agent.usage().memory_bytes(),
             .memory_limit = agent.spec().resources().memory(),
             .restarts = agent.restarts()};
  if (agent.state() == pb::STATE_RUNNING) {
    std::int64_t seconds = now.count() / 1'000'000'000 - agent.state_since().seconds();
    row.uptime_seconds = std::max<std::int64_t>(0, seconds);
  }
  return row;
}

bool comes_before(const TopRow& a, const TopRow& b, TopOrder order) {
  double less = 0;
  if (order == TopOrder::kCpu) less = a.cpu_percent.value_or(-1) - b.cpu_percent.value_or(-1);
  if (order == TopOrder::kCalls)
    less = a.calls_per_second.value_or(-1) - b.calls_per_second.value_or(-1);
  if (order == TopOrder::kMemory)
    less = static_cast<double>(a.memory_bytes) - static_cast<double>(b.memory_bytes);
  return less != 0 ? less > 0 : a.name < b.name;
}

std::string rate(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "-";
}

std::string uptime(const TopRow& row, Nanos now) {
  if (!row.uptime_seconds) return "-";
  google::protobuf::Timestamp since;
  since.set_seconds(now.count() / 1'000'000'000 - *row.uptime_seconds);
  return age(since, now);
}

Json json_of(const TopRow& row) {
  auto optional = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {{"name", row.name},
          {"state", row.state},
          {"cpu_percent", optional(row.cpu_percent)},
          {"memory_bytes", row.memory_bytes},
          {"memory_limit", row.memory_limit},
          {"calls_per_second", optional(row.calls_per_second)},
          {"restarts", row.restarts},
          {"uptime_seconds", optional(row.uptime_seconds)}};
}

}  // namespace

std::vector<TopRow> top_rows(const pb::ListResponse& before, const pb::ListResponse& after,
                             TopOrder order, Nanos now) {
  std::map<std::string, const pb::Agent*> earlier;
  for (const pb::Agent& agent : before.agents()) earlier[agent.name()] = &agent;
  std::vector<TopRow> rows;
  for (const pb::Agent& agent : after.agents()) {
    rows.push_back(row_of(agent, now));
    auto old = earlier.find(agent.name());
    if (old != earlier.end() && old->second->has_usage() && agent.has_usage())
      add_rates(*old->second, agent, rows.back());
  }
  std::ranges::sort(rows,
                    [&](const TopRow& a, const TopRow& b) { return comes_before(a, b, order); });
  return rows;
}

std::string top_table(const std::vector<TopRow>& rows) {
  Table table({"NAME", "STATE", "CPU%", "MEMORY", "CALLS/S", "RESTARTS", "UPTIME"});
  constexpr Nanos kAny = std::chrono::hours(24 * 365 * 100);  // for the words of an age alone
  for (const TopRow& row : rows) {
    std::string memory =
        row.memory_bytes == 0 ? "-" : format_bytes(row.memory_bytes) + "/" + row.memory_limit;
    table.add({row.name, row.state, rate(row.cpu_percent), memory, rate(row.calls_per_second),
               std::to_string(row.restarts), uptime(row, kAny)});
  }
  return table.text();
}

std::string top_item(const std::vector<TopRow>& rows, Format format) {
  Json agents = Json::array();
  for (const TopRow& row : rows) agents.push_back(json_of(row));
  return render_item(Json{{"agents", agents}}, format);
}

}  // namespace flodea::cli
