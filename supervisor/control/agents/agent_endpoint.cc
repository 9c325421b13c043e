#include "supervisor/control/agents/agent_endpoint.h"

#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <utility>

namespace flodea::control {
namespace {

constexpr double kConnectsPerSecond = 0.5;
constexpr double kConnectsBurst = 8;
constexpr int kMaxMessageBytes = 1 << 20;  // the worker's bound of a line

agent::Description describe(const AgentContext& context) {
  const AgentManifest& manifest = context.manifest;
  const Resources& resources = manifest.spec.resources;
  return {.name = manifest.name,
          .labels = manifest.labels,
          .generation = context.generation.value,
          .spec_json = context.spec_json,
          .limits = {.memory_bytes = resources.memory_bytes,
                     .cpu_millis = resources.cpu_millis,
                     .pids = resources.pids,
                     .disk_bytes = resources.disk_bytes,
                     .open_files = resources.open_files},
          .restarts = context.restarts};
}

// Bounds of gRPC's own, behind the guard's. There is no resource quota: the agents would share it.
void harden(grpc::ServerBuilder& builder, const FrameLimits& limits) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(limits.open_streams)},
      {GRPC_ARG_MAX_METADATA_SIZE, 8192},
      {GRPC_ARG_HTTP2_BDP_PROBE, 0},  // windows grow only as frame_scanner.h allows
      {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16'384},
      {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 16'384},
      {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0},  // the guard counts pings
      {GRPC_ARG_TCP_READ_CHUNK_SIZE, 4096},
      {GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 65'536},  // 4 MiB else, for a peer that sends much
      {GRPC_ARG_ENABLE_CHANNELZ, 0},
      {GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0},
  };
  for (auto [name, value] : arguments) builder.AddChannelArgument(name, value);
}

}  // namespace

class AgentEndpoint::Self final : public agent::SelfPort {
 public:
  Self(SelfBackend& backend, AgentId agent, Generation generation, std::shared_ptr<CallMeter> meter)
      : backend_(backend), agent_(std::move(agent)), generation_(generation), meter_(meter) {}

  agent::Usage usage() override {
    SelfUsage usage = backend_.usage(agent_);
    return {.cpu_nanos = usage.cpu_nanos,
            .memory_bytes = usage.memory_bytes,
            .memory_peak_bytes = usage.memory_peak_bytes,
            .pids = usage.pids,
            .disk_used_bytes = usage.disk_used_bytes,
            .calls = meter_->calls()};
  }
  Status log(std::string line) override {
    return backend_.log(agent_, generation_, std::move(line));
  }
  void ready() override { backend_.ready(agent_, generation_); }

 private:
  SelfBackend& backend_;
  AgentId agent_;
  Generation generation_;
  std::shared_ptr<CallMeter> meter_;
};

Result<std::shared_ptr<AgentEndpoint>> AgentEndpoint::create(
    AgentContext context, const EndpointParts& parts,
    std::shared_ptr<SerialExecutor::Strand> disk) {
  CallMarks::Row mark = CallMarks::add_if_possible(parts.marks, context.id);
  std::shared_ptr<AgentEndpoint> endpoint(
      new AgentEndpoint(std::move(context), parts, std::move(mark), std::move(disk)));
  TRY(endpoint->start_server());
  return endpoint;
}

AgentEndpoint::AgentEndpoint(AgentContext context, const EndpointParts& parts, CallMarks::Row mark,
                             std::shared_ptr<SerialExecutor::Strand> disk)
    : parts_(parts),
      guarded_(std::make_shared<GuardedAgent>(context.id, parts.limits,
                                              context.manifest.spec.resources.calls_per_second,
                                              std::move(mark))),
      meter_(std::make_shared<CallMeter>(context.id, parts.clock, parts.on_call, parts.methods)),
      self_(std::make_unique<Self>(parts.self, context.id, context.generation, meter_)),
      store_(storage::StoreQueue::create(
          std::make_unique<storage::Store>(std::move(context.store_directory), parts.clock),
          std::move(disk))),
      clock_service_(parts.sleeper),
      store_service_(store_),
      self_service_(describe(context), *self_, stop_),
      connects_(kConnectsPerSecond, kConnectsBurst) {}

Status AgentEndpoint::start_server() {
  grpc::ServerBuilder builder;
  harden(builder, parts_.limits);
  builder.RegisterService(&clock_service_);
  builder.RegisterService(&store_service_);
  builder.RegisterService(&self_service_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> meters;
  meters.push_back(std::make_unique<CallMeterFactory>(meter_));
  builder.experimental().SetInterceptorCreators(std::move(meters));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return fail(Code::kInternal, "gRPC did not start the agent's server");
  return {};
}

Result<UniqueFd> AgentEndpoint::connect() {
  auto outer = TRY(make_socketpair(SOCK_STREAM | SOCK_NONBLOCK));
  auto inner = TRY(make_socketpair(SOCK_STREAM | SOCK_NONBLOCK));
  std::lock_guard lock(mutex_);
  if (ended_ || server_ == nullptr) return fail(Code::kNotFound, "the agent is not attached");
  if (!connects_.take(parts_.clock.monotonic())) {
    return fail(Code::kResourceExhausted, "the worker asks for connections too often");
  }
  if (connection_) parts_.guard.remove(*connection_);
  connection_ = parts_.guard.add(std::move(outer.first), std::move(inner.first), guarded_);
  grpc::AddInsecureChannelFromFd(server_.get(), inner.second.release());
  return std::move(outer.second);
}

void AgentEndpoint::notify_stop(const StopNotice& notice) {
  stop_.request({.reason = notice.reason, .deadline = notice.deadline});
}

GatewayUsage AgentEndpoint::usage() const {
  return {.calls = meter_->calls(),
          .calls_throttled = guarded_->calls_throttled.load(std::memory_order_relaxed),
          .calls_by_code = meter_->calls_by_code()};
}

void AgentEndpoint::disconnect() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  if (connection_) parts_.guard.remove(*connection_);
  connection_.reset();
}

void AgentEndpoint::shut_down() {
  std::unique_ptr<grpc::Server> server;
  {
    std::lock_guard lock(mutex_);
    server = std::move(server_);
  }
  // The past: calls still open are cancelled now. All of ours end at once when they are.
  if (server) server->Shutdown(std::chrono::system_clock::now());
}

void AgentEndpoint::close_store(std::function<void()> closed) { store_->close(std::move(closed)); }

}  // namespace flodea::control
