// Serves the metrics to Prometheus over HTTP, GET /metrics (docs/metrics.md). No TLS and no
// password: loopback only, unless the operator writes otherwise, and then whoever reaches the port
// reads agents' names and what they use.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/control/monitoring/metrics.h"

namespace flodea::control {

enum class MetricsReach { kLoopback, kNetwork };

struct MetricsConfig {
  std::string address;  // "127.0.0.1:9464", "[::1]:9464"; port 0: any free one. Empty: counted, but
                        // not served
  std::string version;
  std::string revision;  // of the source; empty: not known
  MetricsReach reach = MetricsReach::kLoopback;
  Nanos collect_timeout = std::chrono::milliseconds(500);  // then the last answer is shown again
};

class MetricsExporter final : public Metrics {
 public:
  // Asks for the agents as they are; answered on any thread, once or never. Called on the
  // exporter's threads, from `start` on until the destructor returns.
  using Collect = std::function<void(std::function<void(std::vector<AgentView>)> answer)>;

  // kInvalidArgument: the address, or not loopback. kUnavailable: it is taken, or not of this host.
  static Result<std::unique_ptr<MetricsExporter>> start(const MetricsConfig& config,
                                                        Collect collect);
  ~MetricsExporter() override;  // waits for scrapes in flight

  std::uint16_t port() const;  // 0: not served

  void call_ended(const std::string& agent, const std::string& method, const std::string& code,
                  Nanos duration) override;
  void started(const std::string& agent, const std::vector<PhaseTime>& phases) override;
  void restarted(const std::string& agent) override;
  void service_restarted(const std::string& service) override;
  void forget(const std::string& agent) override;

 private:
  struct Parts;
  explicit MetricsExporter(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace flodea::control
