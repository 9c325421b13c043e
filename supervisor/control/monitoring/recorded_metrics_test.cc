#include "supervisor/control/monitoring/recorded_metrics.h"

#include <algorithm>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

namespace flodea::control {
namespace {

using prometheus::MetricFamily;
using std::chrono::microseconds;
using std::chrono::milliseconds;

const MetricFamily& family(const std::vector<MetricFamily>& all, const std::string& name) {
  auto it = std::ranges::find(all, name, &MetricFamily::name);
  REQUIRE(it != all.end());
  return *it;
}

TEST_CASE("a histogram counts what is at most each bound") {
  constexpr std::array<double, 3> kBounds = {1, 2, 4};
  Histogram histogram(kBounds);
  for (double value : {0.5, 1.0, 1.5, 4.0, 9.0}) histogram.observe(value);
  auto metric = histogram.metric().histogram;
  REQUIRE(metric.bucket.size() == 4);
  CHECK(metric.bucket[0].cumulative_count == 2);
  CHECK(metric.bucket[1].cumulative_count == 3);
  CHECK(metric.bucket[2].cumulative_count == 4);
  CHECK(metric.bucket[3].cumulative_count == 5);
  CHECK(metric.sample_count == 5);
  CHECK(metric.sample_sum == Catch::Approx(16));
}

TEST_CASE("calls are counted by agent, method and code; durations by method and code") {
  RecordedMetrics metrics;
  metrics.call_ended("a", "M/X", "OK", microseconds(70));
  metrics.call_ended("a", "M/X", "OK", microseconds(80));
  metrics.call_ended("b", "M/X", "NOT_FOUND", milliseconds(1));
  auto all = metrics.families({"a", "b"});
  auto& calls = family(all, "flodea_module_calls_total").metric;
  REQUIRE(calls.size() == 2);
  CHECK(calls[0].counter.value == 2);
  auto& durations = family(all, "flodea_module_call_duration_seconds").metric;
  REQUIRE(durations.size() == 2);
  CHECK(durations[1].histogram.sample_sum == Catch::Approx(150e-6));
}

TEST_CASE("whatever agents call, the series are bounded") {
  RecordedMetrics metrics;
  for (int i = 0; i < 10'000; ++i)
    metrics.call_ended("a", "M/" + std::to_string(i), "CODE" + std::to_string(i), microseconds(1));
  for (int i = 0; i < 1000; ++i) metrics.started({{"phase" + std::to_string(i), microseconds(1)}});
  for (int i = 0; i < 1000; ++i) metrics.service_restarted(std::to_string(i));
  for (int i = 0; i < 10'000; ++i) metrics.restarted("agent" + std::to_string(i));
  auto all = metrics.families({});
  CHECK(family(all, "flodea_module_calls_total").metric.size() == 65);
  CHECK(family(all, "flodea_agent_start_duration_seconds").metric.size() == 33);
  CHECK(family(all, "flodea_service_restarts_total").metric.size() == 33);
  CHECK(family(all, "flodea_agent_restarts_total").metric.size() == 4097);
  double calls = 0;
  for (const auto& metric : family(all, "flodea_module_calls_total").metric)
    calls += metric.counter.value;
  CHECK(calls == 10'000);  // beyond the bound they are still counted
}

TEST_CASE("a removed agent's series go, an agent that never restarted shows 0") {
  RecordedMetrics metrics;
  metrics.restarted("a");
  metrics.call_ended("a", "M/X", "OK", microseconds(1));
  auto before = metrics.families({"a", "b"});
  CHECK(family(before, "flodea_agent_restarts_total").metric.size() == 2);
  metrics.forget("a");
  auto after = metrics.families({"b"});
  REQUIRE(family(after, "flodea_agent_restarts_total").metric.size() == 1);
  CHECK(family(after, "flodea_agent_restarts_total").metric[0].counter.value == 0);
  CHECK(family(after, "flodea_module_calls_total").metric.empty());
}

}  // namespace
}  // namespace flodea::control
