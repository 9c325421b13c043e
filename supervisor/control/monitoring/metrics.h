// What the rest of control tells the metrics. Names and units by Prometheus' conventions
// (docs/metrics.md). Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual void call_ended(const std::string& agent, const std::string& method,
                          const std::string& code, Nanos duration) = 0;
  virtual void started(const std::string& agent,
                       const std::vector<PhaseTime>& phases) = 0;  // histogram by phase
  virtual void restarted(const std::string& agent) = 0;
  virtual void service_restarted(const std::string& service) = 0;
  virtual void forget(const std::string& agent) = 0;  // removed: its series go
};

}  // namespace flodea::control
