#include "supervisor/control/operators/operators_server.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>

#include <utility>

#include "base/plan_bounds.h"
#include "supervisor/control/operators/listener.h"
#include "supervisor/control/operators/standard_services.h"

namespace flodea::control {
namespace {

constexpr int kMaxMessage = kMaxPlanBytes;  // the largest request there is
constexpr int kMaxStreamsPerClient = 100;   // calls at a time on one connection
constexpr unsigned kDiskThreads = 2;
constexpr auto kGrace =
    std::chrono::milliseconds(200);  // for answers on their way when the server ends

const std::vector<std::string> kServices{"flodea.operators.v1.Operators", "grpc.health.v1.Health",
                                         "grpc.reflection.v1alpha.ServerReflection"};

class Server final : public OperatorsServer {
 public:
  explicit Server(OperatorsConfig& config)
      : executor_(kDiskThreads, "operators-disk"),
        service_(config.backends, callers_, executor_, std::move(config.bounds),
                 std::move(config.version)) {}
  ~Server() override { shutdown(); }

  Status open(UniqueFd listening, gid_t group) {
    int flags = ::fcntl(listening.get(), F_GETFL);
    if (flags < 0 || ::fcntl(listening.get(), F_SETFL, flags | O_NONBLOCK) != 0)
      return fail_errno("operators' socket");
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    builder.RegisterService(&reflection_);
    builder.SetMaxReceiveMessageSize(kMaxMessage);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerClient);
    server_ = builder.BuildAndStart();
    if (!server_) return fail(Code::kInternal, "gRPC did not start the operators' server");
    listener_ = TRY(
        Listener::start(std::move(listening), group, [this](UniqueFd connection, const Peer& peer) {
          callers_.note(connection.get(), peer.uid);
          grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
        }));
    return {};
  }

  void shutdown() override {
    listener_.reset();
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now() + kGrace);
    server_->Wait();
    server_.reset();
  }

 private:
  Callers callers_;
  SerialExecutor executor_;
  OperatorsService service_;
  HealthService health_{kServices};
  ReflectionService reflection_{kServices};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<OperatorsServer>> OperatorsServer::start(OperatorsConfig config) {
  auto server = std::make_unique<Server>(config);
  TRY_CONTEXT(server->open(std::move(config.listening), config.operators_group), "operators' API");
  return std::unique_ptr<OperatorsServer>(std::move(server));
}

}  // namespace flodea::control
