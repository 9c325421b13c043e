// flodea-hostile-worker guarded|bare ATTACK [until-closed]: a gateway (or a bare gRPC server with
// the same modules and gRPC's own limits) in a process of its own, one agent that attacks it, and
// one that calls Clock.Now all the while. Prints what happened, one "name value" a line.
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "flodea/agent/v1/self.grpc.pb.h"
#include "flodea/kernel/v1/clock.grpc.pb.h"
#include "flodea/storage/v1/store.grpc.pb.h"
#include "modules/storage/store_service.h"
#include "supervisor/control/agents/agent_endpoint.h"
#include "tests/security/gateway/attacks.h"
#include "tests/support/temporary_dir.h"

namespace flodea::testing {
namespace {

using namespace control;

class NoBackend final : public SelfBackend {
 public:
  SelfUsage usage(const AgentId&) override { return {}; }
  Status log(const AgentId&, Generation, std::string) override { return {}; }
  void ready(const AgentId&, Generation) override {}
};

// Where workers connect.
class Target {
 public:
  virtual ~Target() = default;
  virtual UniqueFd connect(const AgentId& agent, const std::string& store, unsigned calls) = 0;
  virtual UniqueFd reconnect(const AgentId& agent) = 0;
};

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

class Guarded final : public Target {
 public:
  Guarded() {
    GatewayConfig config{.self = backend_, .clock = clock_};
    config.on_limit = [](const LimitNotice& notice) {
      std::printf("limit %s\n", notice.limit.c_str());
    };
    config.limits.preface_deadline = std::chrono::milliseconds(500);
    gateway_ = *make_gateway(std::move(config));
  }
  UniqueFd connect(const AgentId& agent, const std::string& store, unsigned calls) override {
    AgentContext context{.id = agent};
    context.manifest.spec.resources.calls_per_second = calls;
    context.store_directory = open_directory(store);
    return std::move(*gateway_->attach(std::move(context)));
  }
  UniqueFd reconnect(const AgentId& agent) override {
    return std::move(*gateway_->reconnect(agent));
  }

 private:
  SystemClock clock_;
  NoBackend backend_;
  std::unique_ptr<Gateway> gateway_;
};

// What gRPC offers by itself: one server per agent, every limit that it knows set.
class Bare final : public Target {
 public:
  UniqueFd connect(const AgentId& agent, const std::string& store, unsigned) override {
    auto& server = servers_[agent];
    server.clock = std::make_unique<kernel::ClockService>(*sleeper_);
    server.store = std::make_unique<storage::StoreService>(storage::StoreQueue::create(
        std::make_unique<storage::Store>(open_directory(store), clock_), disks_.make_strand()));
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(1 << 20);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 64);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8192);
    builder.RegisterService(server.clock.get());
    builder.RegisterService(server.store.get());
    server.server = builder.BuildAndStart();
    return reconnect(agent);
  }
  UniqueFd reconnect(const AgentId& agent) override {
    auto pair = *make_socketpair(SOCK_STREAM | SOCK_NONBLOCK);
    grpc::AddInsecureChannelFromFd(servers_[agent].server.get(), pair.first.release());
    return std::move(pair.second);
  }

 private:
  struct Server {
    std::unique_ptr<kernel::ClockService> clock;
    std::unique_ptr<storage::StoreService> store;
    std::unique_ptr<grpc::Server> server;
  };
  SystemClock clock_;
  std::unique_ptr<kernel::Sleeper> sleeper_ = *kernel::Sleeper::create(clock_);
  SerialExecutor disks_{2, "store"};
  std::map<AgentId, Server> servers_;
};

long anonymous_kib() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  long kib = 0;
  while (rollup >> word) {
    if (word == "Anonymous:") rollup >> kib;
  }
  return kib;
}

// The agent that does nothing wrong, on a thread of its own.
class Honest {
 public:
  explicit Honest(UniqueFd fd) : channel_(grpc::CreateInsecureChannelFromFd("c", fd.release())) {
    thread_ = std::thread([this] { run(); });
  }
  void stop() {
    stopped_ = true;
    thread_.join();
  }
  std::atomic<int> answered{0};
  std::atomic<int> failed{0};
  std::atomic<long> slowest_us{0};

 private:
  void run() {
    auto stub = kernel::v1::Clock::NewStub(channel_);
    while (!stopped_) {
      auto began = std::chrono::steady_clock::now();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
      kernel::v1::NowResponse response;
      bool ok = stub->Now(&context, {}, &response).ok();
      ++(ok ? answered : failed);
      auto took = std::chrono::steady_clock::now() - began;
      slowest_us = std::max<long>(slowest_us, took / std::chrono::microseconds(1));
    }
  }
  std::shared_ptr<grpc::Channel> channel_;
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

// Half a megabyte in the attacker's store, so that it has pages to ask for.
void fill_store(UniqueFd fd) {
  auto stub = storage::v1::Store::NewStub(grpc::CreateInsecureChannelFromFd("c", fd.release()));
  for (const char* key : {"a", "b", "c"}) {
    grpc::ClientContext context;
    storage::v1::PutRequest request;
    request.set_key(key);
    request.set_value(std::string(170'000, 'v'));
    storage::v1::PutResponse response;
    if (!stub->Put(&context, request, &response).ok()) std::abort();
  }
}

int attack(Target& target, const std::string& directory, Attack run, Until until) {
  Honest honest(target.connect(AgentId::random(), directory, 1'000'000));
  AgentId hostile = AgentId::random();
  fill_store(target.connect(hostile, directory, Resources{}.calls_per_second));
  UniqueFd socket = target.reconnect(hostile);
  while (honest.answered < 200) std::this_thread::yield();  // everything is warm

  long before = anonymous_kib();
  std::atomic<bool> over{false};
  long peak = before;
  std::thread sampler([&] {
    while (!over) peak = std::max(peak, anonymous_kib());
  });
  Outcome outcome = run(socket, until);
  int answered = honest.answered;
  while (honest.answered < answered + 20 && honest.failed == 0) std::this_thread::yield();
  over = true;
  sampler.join();
  honest.stop();
  std::printf("closed %d\naccepted %lu\ngrowth_kib %ld\nanswered %d\nfailed %d\nslowest_us %ld\n",
              outcome.closed, static_cast<unsigned long>(outcome.accepted), peak - before,
              honest.answered.load(), honest.failed.load(), honest.slowest_us.load());
  return 0;
}

int main_of(int argc, char** argv) {
  bool until_closed = argc == 4 && std::string(argv[3]) == "until-closed";
  if (argc != (until_closed ? 4 : 3) || !attacks().contains(argv[2])) return 2;
  auto directory = std::make_unique<TemporaryDir>();
  std::unique_ptr<Target> target;
  if (std::string(argv[1]) == "bare") {
    target = std::make_unique<Bare>();
  } else {
    target = std::make_unique<Guarded>();
  }
  int status = attack(*target, directory->path(), attacks().at(argv[2]),
                      until_closed ? Until::kClosed : Until::kStalled);
  std::fflush(stdout);
  directory.reset();
  // A bare server holds a hundred thousand calls by now: ending it in order is not what is tested.
  std::_Exit(status);
}

}  // namespace
}  // namespace flodea::testing

int main(int argc, char** argv) { return flodea::testing::main_of(argc, argv); }
