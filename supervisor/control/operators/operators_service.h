// flodea.operators.v1 over the lifecycle, the event log, the log store and the bundle store. Holds
// no state of its own but the number of streams and uploads that run. gRPC's callback API: no
// method blocks; disks are touched on strands of `executor`.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/serial_executor.h"
#include "flodea/operators/v1/operators.grpc.pb.h"
#include "supervisor/control/lifecycle/lifecycle.h"
#include "supervisor/control/monitoring/event_log.h"
#include "supervisor/control/monitoring/log_store.h"
#include "supervisor/control/operators/bundle_store.h"
#include "supervisor/control/operators/callers.h"
#include "supervisor/control/operators/spec_codec.h"

namespace flodea::control {

struct OperatorsBackends {
  Lifecycle& lifecycle;
  EventLog& events;
  LogStore& logs;
  BundleStore& bundles;
  std::function<Status(const AgentSpec&)> check_spec;  // runtime and bundle; may block
  // Of flodead; answers only when it is refused. Any thread.
  std::function<void(Lifecycle::Callback<void>)> reload{};
};

// Takes one of `limit` places for as long as the returned share lives; null when all are taken.
class Slots {
 public:
  explicit Slots(int limit) : count_(std::make_shared<std::atomic<int>>(0)), limit_(limit) {}
  std::shared_ptr<void> take();

 private:
  std::shared_ptr<std::atomic<int>> count_;
  int limit_;
};

class OperatorsService final : public operators::v1::Operators::CallbackService {
 public:
  static constexpr int kMaxStreams = 64;  // Logs and Events that run at a time
  static constexpr int kMaxUploads = 4;

  // Everything outlives the service, and the service the server.
  OperatorsService(OperatorsBackends backends, const Callers& callers, SerialExecutor& executor,
                   SpecBounds bounds, std::string version);

  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext*, const operators::v1::ApplyRequest*,
                                  operators::v1::ApplyResponse*) override;
  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext*, const operators::v1::PlanRequest*,
                                 operators::v1::PlanResponse*) override;
  grpc::ServerUnaryReactor* Await(grpc::CallbackServerContext*, const operators::v1::AwaitRequest*,
                                  operators::v1::Agent*) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext*, const operators::v1::ListRequest*,
                                 operators::v1::ListResponse*) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext*, const operators::v1::GetRequest*,
                                operators::v1::Agent*) override;
  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext*, const operators::v1::StartRequest*,
                                  operators::v1::Agent*) override;
  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext*, const operators::v1::StopRequest*,
                                 operators::v1::Agent*) override;
  grpc::ServerUnaryReactor* Restart(grpc::CallbackServerContext*,
                                    const operators::v1::RestartRequest*,
                                    operators::v1::Agent*) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext*,
                                   const operators::v1::RemoveRequest*,
                                   operators::v1::RemoveResponse*) override;
  grpc::ServerUnaryReactor* GetNode(grpc::CallbackServerContext*,
                                    const operators::v1::GetNodeRequest*,
                                    operators::v1::Node*) override;
  grpc::ServerUnaryReactor* Reload(grpc::CallbackServerContext*,
                                   const operators::v1::ReloadRequest*,
                                   operators::v1::ReloadResponse*) override;
  grpc::ServerUnaryReactor* ListRevisions(grpc::CallbackServerContext*,
                                          const operators::v1::ListRevisionsRequest*,
                                          operators::v1::ListRevisionsResponse*) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext*,
                                     const operators::v1::RollbackRequest*,
                                     operators::v1::ApplyResponse*) override;
  grpc::ServerWriteReactor<operators::v1::AgentChange>* WatchAgents(
      grpc::CallbackServerContext*, const operators::v1::WatchAgentsRequest*) override;
  grpc::ServerWriteReactor<operators::v1::LogEntry>* Logs(
      grpc::CallbackServerContext*, const operators::v1::LogsRequest*) override;
  grpc::ServerWriteReactor<operators::v1::Event>* Events(
      grpc::CallbackServerContext*, const operators::v1::EventsRequest*) override;
  grpc::ServerReadReactor<operators::v1::PutBundleRequest>* PutBundle(
      grpc::CallbackServerContext*, operators::v1::PutBundleResponse*) override;

 private:
  template <class Reply>
  Asked asked_by(const grpc::CallbackServerContext* context, bool wait,
                 const std::shared_ptr<Reply>& reply) const;

  OperatorsBackends backends_;
  const Callers& callers_;
  SerialExecutor& executor_;
  SpecBounds bounds_;
  std::string version_;
  std::shared_ptr<SerialExecutor::Strand> checks_;  // of bundles, for Apply
  std::shared_ptr<SerialExecutor::Strand> looks_;   // into events, for Get
  Slots streams_{kMaxStreams};
  Slots uploads_{kMaxUploads};
};

}  // namespace flodea::control
