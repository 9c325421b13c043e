// bench/rpc: what a module call costs on each stretch of its way, in one run. p50 and p99 of N
// calls of 64 bytes or of Clock.Now:
//   raw       ping-pong of 64 bytes over a socketpair between two threads: what the kernel takes
//   grpc      the worker's gRPC client to a server on a socketpair
//   module    the worker's gRPC client through control's gateway (guard, meter, module)
//   python    flodea.clock.now() of an agent in a real worker, through the gateway
// usage: flodea-bench-rpc [CALLS]
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <sstream>
#include <thread>

#include "supervisor/control/agents/gateway.h"
#include "worker/grpc_channel.h"
#include "worker/testing/fake_control.h"
#include "worker/testing/worker_harness.h"

namespace flodea::bench {
namespace {

using worker::testing::FakeControl;
using worker::testing::FakeModules;
using worker::testing::WorkerHarness;

constexpr int kWarmUp = 200;

struct Percentiles {
  double p50 = 0, p99 = 0;  // microseconds
};

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "flodea-bench-rpc: %s\n", result.error().describe().c_str());
  std::exit(1);
}

Percentiles measure(int calls, const std::function<void()>& call) {
  std::vector<double> micros;
  for (int i = -kWarmUp; i < calls; ++i) {
    auto begun = std::chrono::steady_clock::now();
    call();
    std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begun;
    if (i >= 0) micros.push_back(took.count());
  }
  std::ranges::sort(micros);
  return {.p50 = micros[micros.size() / 2], .p99 = micros[micros.size() * 99 / 100]};
}

Percentiles measure_raw(int calls) {
  auto pair = must(make_socketpair(SOCK_STREAM));
  std::thread echo([&] {
    char bytes[64];
    while (::recv(pair.second.get(), bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes) {
      if (::send(pair.second.get(), bytes, sizeof bytes, MSG_NOSIGNAL) < 0) break;
    }
  });
  char bytes[64] = {};
  auto result = measure(calls, [&] {
    if (::send(pair.first.get(), bytes, sizeof bytes, MSG_NOSIGNAL) < 0) std::abort();
    if (::recv(pair.first.get(), bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes) std::abort();
  });
  ::shutdown(pair.first.get(), SHUT_RDWR);
  echo.join();
  return result;
}

// The worker's transport by itself, on the loop that it has in the worker.
class Client final : private worker::CallObserver {
 public:
  explicit Client(UniqueFd socket) : loop_(must(EventLoop::create())), channels_(*loop_) {
    channel_ = must(channels_.open(std::move(socket), *this));
  }
  void now() {
    done_ = false;
    channel_->start({.id = ++id_,
                     .path = "/flodea.kernel.v1.Clock/Now",
                     .request = {},
                     .streams = false,
                     .timeout = std::nullopt});
    while (!done_) [[maybe_unused]]
      auto turned = loop_->run_once(-1);
  }

 private:
  void on_item(worker::CallId, std::string) override {}
  void on_done(worker::CallId, worker::CallOutcome outcome) override {
    done_ = true;
    if (outcome.code == 0) return;
    std::fprintf(stderr, "flodea-bench-rpc: call failed: %s\n", outcome.message.c_str());
    std::exit(1);
  }
  void on_connection_lost() override {}

  std::unique_ptr<EventLoop> loop_;
  worker::GrpcChannels channels_;
  std::unique_ptr<worker::CallChannel> channel_;
  worker::CallId id_ = 0;
  bool done_ = false;
};

Percentiles measure_grpc(int calls) {
  FakeModules modules;
  auto pair = must(make_socketpair(SOCK_STREAM | SOCK_NONBLOCK));
  FakeControl server(std::move(pair.first), modules);
  Client client(std::move(pair.second));
  return measure(calls, [&] { client.now(); });
}

class NoBackend final : public control::SelfBackend {
 public:
  control::SelfUsage usage(const AgentId&) override { return {}; }
  Status log(const AgentId&, Generation, std::string) override { return {}; }
  void ready(const AgentId&, Generation) override {}
};

// Control's gateway with one agent, whose rate is out of the way.
class GatewaySetup {
 public:
  GatewaySetup() {
    char name[] = "/tmp/flodea-bench-rpc-XXXXXX";
    directory_ = ::mkdtemp(name);
    gateway_ = must(control::make_gateway({.self = backend_,
                                           .clock = clock_,
                                           .on_call = [](auto&&...) {},
                                           .on_limit = [](auto&&...) {}}));
  }
  ~GatewaySetup() {
    gateway_.reset();
    std::filesystem::remove_all(directory_);
  }
  UniqueFd attach() {
    control::AgentContext context{.id = AgentId::random(), .generation = {1}};
    context.manifest.spec.resources.calls_per_second = 1'000'000;
    context.store_directory =
        UniqueFd(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return must(gateway_->attach(std::move(context)));
  }

 private:
  SystemClock clock_;
  NoBackend backend_;
  std::string directory_;
  std::unique_ptr<control::Gateway> gateway_;
};

Percentiles measure_module(int calls) {
  GatewaySetup gateway;
  Client client(gateway.attach());
  return measure(calls, [&] { client.now(); });
}

Percentiles measure_python(int calls) {
  GatewaySetup gateway;
  auto worker = must(WorkerHarness::start({.worker = FLODEA_WORKER}));
  auto plan = worker::testing::python_plan("import sys, time\nsys.path.insert(0, '" FLODEA_SDK
                                           "')\nimport flodea\ncalls = " +
                                           std::to_string(calls) + R"(
times = []
now = flodea.clock.now
for i in range(calls + 200):
    begun = time.perf_counter_ns()
    now()
    times.append(time.perf_counter_ns() - begun)
times = sorted(times[200:])
print(times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3)
)");
  if (!worker.offer(1, plan, gateway.attach())) std::exit(1);
  Percentiles result;
  std::istringstream(must(worker.next_log(120'000)).text) >> result.p50 >> result.p99;
  return result;
}

void print(const char* name, const Percentiles& p, double raw) {
  std::printf("%-8s p50 %8.1f us   p99 %8.1f us   %5.1f x raw\n", name, p.p50, p.p99, p.p50 / raw);
}

}  // namespace
}  // namespace flodea::bench

int main(int argc, char** argv) {
  using namespace flodea::bench;
  int calls = argc > 1 ? std::max(1, std::atoi(argv[1])) : 10'000;
  auto raw = measure_raw(calls);
  print("raw", raw, raw.p50);
  print("grpc", measure_grpc(calls), raw.p50);
  print("module", measure_module(calls), raw.p50);
  print("python", measure_python(calls), raw.p50);
}
