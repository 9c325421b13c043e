#include "supervisor/control/monitoring/metrics_exporter.h"

#include <prometheus/exposer.h>

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "supervisor/control/monitoring/families.h"
#include "supervisor/control/monitoring/listen_address.h"
#include "supervisor/control/monitoring/recorded_metrics.h"

namespace flodea::control {
namespace {

constexpr const char* kSetting = "--metrics";
constexpr const char* kThreads = "4";  // a connection that says nothing holds one of them …
constexpr const char* kRequestTimeoutMs = "1000";  // … for so long

using Clock = std::chrono::steady_clock;

// The agents as they were last told. Shared with answers that come late, also after the exporter's
// end.
class Snapshot {
 public:
  void set(std::vector<AgentView> agents) {
    {
      std::lock_guard lock(mutex_);
      agents_ = std::make_shared<const std::vector<AgentView>>(std::move(agents));
      ++answers_;
      at_ = Clock::now();
    }
    answered_.notify_all();
  }
  std::uint64_t answers() const {
    std::lock_guard lock(mutex_);
    return answers_;
  }
  // An answer later than the first `seen`, or after `timeout` the last one there is.
  std::shared_ptr<const std::vector<AgentView>> wait(std::uint64_t seen, Nanos timeout) {
    std::unique_lock lock(mutex_);
    answered_.wait_for(lock, timeout, [&] { return answers_ > seen; });
    return agents_;
  }
  double age_seconds() const {
    std::lock_guard lock(mutex_);
    return std::chrono::duration<double>(Clock::now() - at_).count();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable answered_;
  std::shared_ptr<const std::vector<AgentView>> agents_ =
      std::make_shared<const std::vector<AgentView>>();
  std::uint64_t answers_ = 0;
  Clock::time_point at_ = Clock::now();
};

class FlodeaCollectable final : public prometheus::Collectable {
 public:
  FlodeaCollectable(const MetricsConfig& config, MetricsExporter::Collect collect)
      : version_(config.version),
        revision_(config.revision),
        timeout_(config.collect_timeout),
        collect_(std::move(collect)) {}

  RecordedMetrics& recorded() { return recorded_; }

  std::vector<prometheus::MetricFamily> Collect() const override {
    auto agents = ask();
    std::vector<std::string> names;
    for (const AgentView& agent : *agents) names.push_back(agent.manifest.name);
    std::vector<prometheus::MetricFamily> all{build_info(), snapshot_age()};
    for (auto&& group : {agent_families(*agents), recorded_.families(names), process_families()}) {
      all.insert(all.end(), group.begin(), group.end());
    }
    std::erase_if(all, [](const auto& family) { return family.metric.empty(); });
    return all;
  }

 private:
  std::shared_ptr<const std::vector<AgentView>> ask() const {
    auto seen = snapshot_->answers();
    if (collect_)
      collect_([snapshot = snapshot_](std::vector<AgentView> agents) {
        snapshot->set(std::move(agents));
      });
    return snapshot_->wait(seen, collect_ ? timeout_ : Nanos::zero());
  }
  prometheus::MetricFamily build_info() const {
    auto family = gauge_family("flodea_build_info", "Always 1; the labels say what runs.");
    std::vector<Label> labels{{"version", version_}};
    if (!revision_.empty()) labels.push_back({"revision", revision_});
    add_gauge(family, std::move(labels), 1);
    return family;
  }
  prometheus::MetricFamily snapshot_age() const {
    auto family =
        gauge_family("flodea_agents_snapshot_age_seconds",
                     "How old the agents' figures are: near 0, unless flodea-control is late.");
    add_gauge(family, {}, snapshot_->age_seconds());
    return family;
  }

  const std::string version_;
  const std::string revision_;
  const Nanos timeout_;
  const MetricsExporter::Collect collect_;
  const std::shared_ptr<Snapshot> snapshot_ = std::make_shared<Snapshot>();
  RecordedMetrics recorded_;
};

Status check(const ListenAddress& address, MetricsReach reach) {
  if (reach == MetricsReach::kLoopback && !address.loopback()) {
    auto error = fail(Code::kInvalidArgument, "metrics are served without a password, and " +
                                                  address.text + " is not a loopback address")
                     .value();
    return tl::unexpected(std::move(error).with_remedy(
        "use 127.0.0.1, and a reverse proxy to reach it from elsewhere (docs/metrics.md)"));
  }
  auto free = check_free(address);
  if (free) return {};
  return tl::unexpected(std::move(free).error().with_remedy(
      "end what listens there, or choose another with --metrics ADDR:PORT"));
}

// The library throws when it cannot listen; this is the one place that catches.
Result<std::unique_ptr<prometheus::Exposer>> listen(const ListenAddress& address) {
  try {
    return std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address.text, "num_threads", kThreads, "request_timeout_ms",
        kRequestTimeoutMs, "enable_keep_alive", "no"});
  } catch (const std::exception& e) {
    return fail(Code::kUnavailable, "cannot listen on " + address.text + ": " + e.what());
  }
}

// The server looks at its stop flag only when its poll of two seconds ends, or when somebody
// connects: so somebody does, until it has seen it.
void stop_serving(std::unique_ptr<prometheus::Exposer> exposer, ListenAddress address,
                  std::uint16_t port) {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;
  std::thread nudge([&] {
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, std::chrono::milliseconds(5), [&] { return stopped; }))
      (void)knock(address, port);
  });
  exposer.reset();
  {
    std::lock_guard lock(mutex);
    stopped = true;
  }
  changed.notify_one();
  nudge.join();
}

}  // namespace

struct MetricsExporter::Parts {
  std::shared_ptr<FlodeaCollectable> collectable;
  ListenAddress address;
  std::unique_ptr<prometheus::Exposer> exposer;

  Status serve(const MetricsConfig& config) {
    address = TRY(parse_listen_address(config.address));
    TRY(check(address, config.reach));
    exposer = TRY(listen(address));
    exposer->RegisterCollectable(collectable);
    return {};
  }
};

MetricsExporter::MetricsExporter(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
MetricsExporter::~MetricsExporter() {
  std::uint16_t bound = port();
  if (parts_->exposer) stop_serving(std::move(parts_->exposer), parts_->address, bound);
}

Result<std::unique_ptr<MetricsExporter>> MetricsExporter::start(const MetricsConfig& config,
                                                                Collect collect) {
  auto parts = std::make_unique<Parts>();
  parts->collectable = std::make_shared<FlodeaCollectable>(config, std::move(collect));
  if (!config.address.empty()) {
    if (auto served = parts->serve(config); !served) {
      return tl::unexpected(std::move(served).error().with_field(kSetting));
    }
  }
  return std::unique_ptr<MetricsExporter>(new MetricsExporter(std::move(parts)));
}

std::uint16_t MetricsExporter::port() const {
  auto ports = parts_->exposer ? parts_->exposer->GetListeningPorts() : std::vector<int>();
  return ports.empty() ? 0 : static_cast<std::uint16_t>(ports.front());
}

void MetricsExporter::call_ended(const std::string& agent, const std::string& method,
                                 const std::string& code, Nanos duration) {
  parts_->collectable->recorded().call_ended(agent, method, code, duration);
}
void MetricsExporter::started(const std::string&, const std::vector<PhaseTime>& phases) {
  parts_->collectable->recorded().started(phases);
}
void MetricsExporter::restarted(const std::string& agent) {
  parts_->collectable->recorded().restarted(agent);
}
void MetricsExporter::service_restarted(const std::string& service) {
  parts_->collectable->recorded().service_restarted(service);
}
void MetricsExporter::forget(const std::string& agent) {
  parts_->collectable->recorded().forget(agent);
}

}  // namespace flodea::control
