// What is counted as it happens: calls, starts, restarts. Labels are bounded whatever agents do: at
// most 64 methods, 32 phases and services, gRPC's 17 codes, 4,096 agents; what is beyond is counted
// under "other". Thread-safe.
#pragma once

#include <prometheus/metric_family.h>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/control/monitoring/metrics.h"

namespace flodea::control {

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  prometheus::ClientMetric metric() const;

 private:
  std::span<const double> bounds_;     // of static storage, rising
  std::vector<std::uint64_t> counts_;  // the last one: over all bounds
  double sum_ = 0;
};

class RecordedMetrics {
 public:
  void call_ended(const std::string& agent, const std::string& method, const std::string& code,
                  Nanos duration);
  void started(const std::vector<PhaseTime>& phases);
  void restarted(const std::string& agent);
  void service_restarted(const std::string& service);
  void forget(const std::string& agent);

  // `names`: agents whose restart counter is shown although it is 0.
  std::vector<prometheus::MetricFamily> families(const std::vector<std::string>& names) const;

 private:
  using MethodAndCode = std::pair<std::string, std::string>;
  struct Agent {
    std::map<MethodAndCode, std::uint64_t> calls;
    std::uint64_t restarts = 0;
  };
  Agent& agent_named(const std::string& name);

  mutable std::mutex mutex_;
  std::map<std::string, Agent> agents_;
  std::set<std::string> methods_;  // seen so far
  std::map<MethodAndCode, Histogram> call_durations_;
  std::map<std::string, Histogram> start_durations_;  // by phase
  std::map<std::string, std::uint64_t> service_restarts_;
};

}  // namespace flodea::control
