#include "cli/output/top_view.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

namespace flodea::cli {
namespace {

namespace pb = operators::v1;
using namespace std::chrono_literals;

void add(pb::ListResponse& list, const std::string& name, std::uint64_t read, std::uint64_t cpu,
         std::uint64_t calls, std::uint64_t generation = 1) {
  pb::Agent& agent = *list.add_agents();
  agent.set_name(name);
  agent.set_generation(generation);
  agent.set_state(pb::STATE_RUNNING);
  agent.mutable_state_since()->set_seconds(40);
  agent.mutable_spec()->mutable_resources()->set_memory("64Mi");
  agent.mutable_usage()->set_read_nanos(read);
  agent.mutable_usage()->set_cpu_nanos(cpu);
  agent.mutable_usage()->set_calls(calls);
  agent.mutable_usage()->set_memory_bytes(calls << 20);
}

TEST_CASE("rates are of the time between two readings of one instance") {
  pb::ListResponse before, after;
  add(before, "a", 1'000'000'000, 0, 10);
  add(after, "a", 3'000'000'000, 500'000'000, 30);
  add(before, "b", 1'000'000'000, 0, 10);
  add(after, "b", 3'000'000'000, 2'000'000'000, 11, 2);  // started again meanwhile
  add(after, "c", 3'000'000'000, 1, 1);
  auto rows = top_rows(before, after, TopOrder::kName, 100s);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].cpu_percent == 25.0);
  CHECK(rows[0].calls_per_second == 10.0);
  CHECK(rows[0].uptime_seconds == 60);
  CHECK_FALSE(rows[1].cpu_percent);
  CHECK_FALSE(rows[2].calls_per_second);
  CHECK(top_table(rows) ==
        "NAME  STATE    CPU%  MEMORY     CALLS/S  RESTARTS  UPTIME\n"
        "a     running  25.0  30Mi/64Mi  10.0     0         60s\n"
        "b     running  -     11Mi/64Mi  -        0         60s\n"
        "c     running  -     1Mi/64Mi   -        0         60s\n");
  auto json = nlohmann::json::parse(top_item(rows, Format::kJson));
  CHECK(json["agents"][0]["cpu_percent"] == 25.0);
  CHECK(json["agents"][1]["cpu_percent"].is_null());
}

TEST_CASE("a reading that is told twice has no rate, and nothing is divided by zero") {
  pb::ListResponse same;
  add(same, "a", 1'000'000'000, 5, 10);
  CHECK_FALSE(top_rows(same, same, TopOrder::kCpu, 100s)[0].cpu_percent);
}

TEST_CASE("rows are in the order that is wanted") {
  pb::ListResponse before, after;
  for (const char* name : {"a", "b", "c"}) add(before, name, 1, 0, 0);
  add(after, "a", 1001, 5, 3);
  add(after, "b", 1001, 9, 1);
  add(after, "c", 1001, 5, 2);
  auto names = [&](TopOrder order) {
    std::string text;
    for (const TopRow& row : top_rows(before, after, order, 100s)) text += row.name;
    return text;
  };
  CHECK(names(TopOrder::kName) == "abc");
  CHECK(names(TopOrder::kCpu) == "bac");
  CHECK(names(TopOrder::kMemory) == "acb");
  CHECK(names(TopOrder::kCalls) == "acb");
}

}  // namespace
}  // namespace flodea::cli
