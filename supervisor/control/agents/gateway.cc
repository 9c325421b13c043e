#include "supervisor/control/agents/gateway.h"

#include <mutex>
#include <unordered_map>
#include <utility>

#include "supervisor/control/agents/agent_endpoint.h"

namespace flodea::control {
namespace {

class GatewayImpl final : public Gateway {
 public:
  static Result<std::unique_ptr<Gateway>> create(GatewayConfig config) {
    std::unique_ptr<GatewayImpl> gateway(new GatewayImpl(std::move(config)));
    TRY(gateway->start());
    return std::unique_ptr<Gateway>(std::move(gateway));
  }

  ~GatewayImpl() override {
    std::unordered_map<AgentId, std::shared_ptr<AgentEndpoint>> endpoints;
    {
      std::lock_guard lock(mutex_);
      endpoints.swap(endpoints_);
    }
    for (auto& [id, endpoint] : endpoints) end(std::move(endpoint), [] {});
  }

  Result<UniqueFd> attach(AgentContext context) override {
    AgentId id = context.id;
    if (auto earlier = take(id)) end(std::move(earlier), [] {});
    auto endpoint = TRY(AgentEndpoint::create(std::move(context), parts(), disk_strand(id)));
    auto fd = TRY(endpoint->connect());
    std::lock_guard lock(mutex_);
    auto [it, added] = endpoints_.emplace(id, endpoint);
    if (!added) end(std::exchange(it->second, endpoint), [] {});
    return fd;
  }

  Result<UniqueFd> reconnect(const AgentId& agent) override {
    auto endpoint = find(agent);
    if (endpoint == nullptr) return fail(Code::kNotFound, "the agent is not attached");
    return endpoint->connect();
  }

  void notify_stop(const AgentId& agent, const StopNotice& notice) override {
    if (auto endpoint = find(agent)) endpoint->notify_stop(notice);
  }

  void detach(const AgentId& agent, std::function<void()> done) override {
    if (auto endpoint = take(agent)) {
      end(std::move(endpoint), std::move(done));
    } else {
      // After what an earlier attachment still has to close.
      disk_strand(agent)->post([this, done = std::move(done)] { reaper_->post(done); });
    }
  }

  GatewayUsage usage(const AgentId& agent) const override {
    auto endpoint = find(agent);
    return endpoint == nullptr ? GatewayUsage{} : endpoint->usage();
  }

 private:
  explicit GatewayImpl(GatewayConfig config)
      : config_(std::move(config)),
        methods_(hosted_methods()),
        own_(2, "gateway"),
        disks_(config_.disk_threads, "store") {}

  Status start() {
    sleeper_ = TRY(kernel::Sleeper::create(config_.clock));
    auto observer = [this](const LimitNotice& notice) {
      if (config_.on_limit) events_->post([this, notice] { config_.on_limit(notice); });
    };
    auto failed = [this](const Error& why) {
      if (config_.on_failure) config_.on_failure(why);
    };
    guard_ = TRY(Guard::create(config_.clock, std::move(observer), std::move(failed)));
    return {};
  }

  EndpointParts parts() {
    return {.guard = *guard_,
            .sleeper = *sleeper_,
            .self = config_.self,
            .clock = config_.clock,
            .limits = config_.limits,
            .on_call = config_.on_call,
            .methods = methods_,
            .marks = config_.marks};
  }

  std::shared_ptr<AgentEndpoint> find(const AgentId& agent) const {
    std::lock_guard lock(mutex_);
    auto it = endpoints_.find(agent);
    return it == endpoints_.end() ? nullptr : it->second;
  }

  std::shared_ptr<AgentEndpoint> take(const AgentId& agent) {
    std::lock_guard lock(mutex_);
    auto node = endpoints_.extract(agent);
    return node ? std::move(node.mapped()) : nullptr;
  }

  // One strand per agent over all its attachments: a store is closed before it is opened anew.
  std::shared_ptr<SerialExecutor::Strand> disk_strand(const AgentId& agent) {
    std::lock_guard lock(mutex_);
    std::erase_if(strands_, [](const auto& entry) { return entry.second.expired(); });
    auto strand = strands_[agent].lock();
    if (strand == nullptr) strands_[agent] = strand = disks_.make_strand();
    return strand;
  }

  // A reconnect may be under way on another thread: none can begin once the server's end is posted.
  // The order on the reaper's strand makes `done` the last, so the store's end comes after it.
  void end(std::shared_ptr<AgentEndpoint> endpoint, std::function<void()> done) {
    endpoint->disconnect();
    reaper_->post([endpoint] { endpoint->shut_down(); });
    endpoint->close_store([this, done = std::move(done)] { reaper_->post(done); });
  }

  GatewayConfig config_;
  MethodNames methods_;
  // Destroyed last first: stores are closed, the guard ends, servers end; sleeps until then.
  std::unique_ptr<kernel::Sleeper> sleeper_;
  SerialExecutor own_;
  std::shared_ptr<SerialExecutor::Strand> reaper_ = own_.make_strand();  // ends servers, `done`
  std::shared_ptr<SerialExecutor::Strand> events_ = own_.make_strand();
  std::unique_ptr<Guard> guard_;
  SerialExecutor disks_;
  mutable std::mutex mutex_;
  std::unordered_map<AgentId, std::shared_ptr<AgentEndpoint>> endpoints_;       // under mutex_
  std::unordered_map<AgentId, std::weak_ptr<SerialExecutor::Strand>> strands_;  // under mutex_
};

}  // namespace

Result<std::unique_ptr<Gateway>> make_gateway(GatewayConfig config) {
  return GatewayImpl::create(std::move(config));
}

}  // namespace flodea::control
