#include "supervisor/control/monitoring/recorded_metrics.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "supervisor/control/monitoring/families.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxMethods = 64;
constexpr std::size_t kMaxWords = 32;  // phases, services
constexpr std::size_t kMaxAgents = 4096;
constexpr const char* kOther = "other";

constexpr std::array<double, 14> kCallBounds = {25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3,
                                                5e-3,  10e-3, 25e-3,  100e-3, 500e-3, 1,    5};
constexpr std::array<double, 14> kStartBounds = {0.5e-3, 1e-3,   2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
                                                 100e-3, 250e-3, 500e-3, 1,    2.5,   5,     10};

constexpr std::array<std::string_view, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

double seconds_of(Nanos duration) { return std::chrono::duration<double>(duration).count(); }

// The key itself while the container has room for one more, else kOther.
template <class Container>
std::string bounded(const Container& container, const std::string& key, std::size_t most) {
  return container.contains(key) || container.size() < most ? key : kOther;
}

}  // namespace

void Histogram::observe(double value) {
  auto bucket =
      std::ranges::lower_bound(bounds_, value) - bounds_.begin();  // le: at most its bound
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += value;
}

prometheus::ClientMetric Histogram::metric() const {
  prometheus::ClientMetric metric;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    count += counts_[i];
    metric.histogram.bucket.push_back({count, bounds_[i]});
  }
  metric.histogram.sample_count = count + counts_.back();
  metric.histogram.bucket.push_back(
      {metric.histogram.sample_count, std::numeric_limits<double>::infinity()});
  metric.histogram.sample_sum = sum_;
  return metric;
}

void RecordedMetrics::call_ended(const std::string& agent, const std::string& method,
                                 const std::string& code, Nanos duration) {
  std::lock_guard lock(mutex_);
  auto [name, fresh] = methods_.insert(bounded(methods_, method, kMaxMethods));
  MethodAndCode key(*name, std::ranges::find(kCodes, code) != kCodes.end() ? code : kOther);
  call_durations_.try_emplace(key, kCallBounds).first->second.observe(seconds_of(duration));
  if (!agent.empty())
    ++agent_named(agent).calls[std::move(key)];  // empty: it was removed meanwhile
}

void RecordedMetrics::started(const std::vector<PhaseTime>& phases) {
  std::lock_guard lock(mutex_);
  for (const PhaseTime& phase : phases) {
    auto name = bounded(start_durations_, phase.name, kMaxWords);
    start_durations_.try_emplace(name, kStartBounds)
        .first->second.observe(seconds_of(phase.duration));
  }
}

void RecordedMetrics::restarted(const std::string& agent) {
  std::lock_guard lock(mutex_);
  ++agent_named(agent).restarts;
}

void RecordedMetrics::service_restarted(const std::string& service) {
  std::lock_guard lock(mutex_);
  ++service_restarts_[bounded(service_restarts_, service, kMaxWords)];
}

void RecordedMetrics::forget(const std::string& agent) {
  std::lock_guard lock(mutex_);
  agents_.erase(agent);
}

RecordedMetrics::Agent& RecordedMetrics::agent_named(const std::string& name) {
  return agents_[bounded(agents_, name, kMaxAgents)];
}

std::vector<prometheus::MetricFamily> RecordedMetrics::families(
    const std::vector<std::string>& names) const {
  auto restarts =
      counter_family("flodea_agent_restarts_total",
                     "Restarts of the agent after it ended, since flodea-control started.");
  auto calls = counter_family("flodea_module_calls_total",
                              "Module calls by agent, method and gRPC status code.");
  auto durations = histogram_family("flodea_module_call_duration_seconds",
                                    "Time from a call's arrival in flodea-control to its answer.");
  auto starts = histogram_family("flodea_agent_start_duration_seconds",
                                 "Time that each phase of an agent's start took.");
  auto services =
      counter_family("flodea_service_restarts_total", "Restarts of the supervisor's services.");

  std::lock_guard lock(mutex_);
  for (const std::string& name : names) {
    if (!agents_.contains(name)) add_counter(restarts, {{"agent", name}}, 0);
  }
  for (const auto& [name, agent] : agents_) {
    add_counter(restarts, {{"agent", name}}, static_cast<double>(agent.restarts));
    for (const auto& [key, count] : agent.calls) {
      add_counter(calls, {{"agent", name}, {"method", key.first}, {"code", key.second}},
                  static_cast<double>(count));
    }
  }
  for (const auto& [key, histogram] : call_durations_) {
    add_histogram(durations, {{"method", key.first}, {"code", key.second}}, histogram.metric());
  }
  for (const auto& [phase, histogram] : start_durations_)
    add_histogram(starts, {{"phase", phase}}, histogram.metric());
  for (const auto& [service, count] : service_restarts_)
    add_counter(services, {{"service", service}}, static_cast<double>(count));
  return {std::move(restarts), std::move(calls), std::move(durations), std::move(starts),
          std::move(services)};
}

}  // namespace flodea::control
