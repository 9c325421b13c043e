// bench/gateway: what the way from a worker to a module costs. In one run, medians of N calls each
// of Clock.Now: a raw 64-byte ping-pong over a socketpair; gRPC over a socketpair; the same through
// the gateway (guard, interceptor, this agent's own server). Then what 200 idle agents cost.
// The client is a process of its own, as a worker is: in one process both ends share gRPC's poller.
// flodea-bench-gateway [CALLS]
#include "supervisor/control/agents/gateway.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "flodea/kernel/v1/clock.grpc.pb.h"
#include "flodea/storage/v1/store.grpc.pb.h"
#include "modules/kernel/clock_service.h"

namespace flodea::control {
namespace {

class NoBackend final : public SelfBackend {
 public:
  SelfUsage usage(const AgentId&) override { return {}; }
  Status log(const AgentId&, Generation, std::string) override { return {}; }
  void ready(const AgentId&, Generation) override {}
};

struct Percentiles {
  double p50, p99;
  double server_cpu = 0;       // of this process, us a call
  double server_switches = 0;  // voluntary, a call
};

Percentiles measure(int calls, const std::function<void()>& call) {
  std::vector<double> micros;
  for (int i = 0; i < calls / 5; ++i) call();  // warm
  for (int i = 0; i < calls; ++i) {
    auto began = std::chrono::steady_clock::now();
    call();
    auto took = std::chrono::steady_clock::now() - began;
    micros.push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  std::ranges::sort(micros);
  return {.p50 = micros[micros.size() / 2], .p99 = micros[micros.size() * 99 / 100]};
}

Percentiles raw_ping_pong(int calls) {
  auto pair = *make_socketpair(SOCK_STREAM);
  std::thread echo([fd = std::move(pair.second)] {
    char buffer[64];
    while (::recv(fd.get(), buffer, sizeof buffer, MSG_WAITALL) == sizeof buffer) {
      ::send(fd.get(), buffer, sizeof buffer, MSG_NOSIGNAL);
    }
  });
  char buffer[64] = {};
  auto result = measure(calls, [&] {
    ::send(pair.first.get(), buffer, sizeof buffer, MSG_NOSIGNAL);
    ::recv(pair.first.get(), buffer, sizeof buffer, MSG_WAITALL);
  });
  pair.first.reset();
  echo.join();
  return result;
}

Percentiles clock_now(UniqueFd fd, int calls) {
  auto stub = kernel::v1::Clock::NewStub(grpc::CreateInsecureChannelFromFd("c", fd.release()));
  return measure(calls, [&] {
    grpc::ClientContext context;
    kernel::v1::NowResponse response;
    if (!stub->Now(&context, {}, &response).ok()) std::abort();
  });
}

Percentiles store_put(UniqueFd fd, int calls) {
  auto stub = storage::v1::Store::NewStub(grpc::CreateInsecureChannelFromFd("c", fd.release()));
  storage::v1::PutRequest request;
  request.set_key("key");
  request.set_value(std::string(64, 'v'));
  return measure(calls, [&] {
    grpc::ClientContext context;
    storage::v1::PutResponse response;
    if (!stub->Put(&context, request, &response).ok()) std::abort();
  });
}

// This program again, as `worker METHOD FD CALLS`, with the descriptor inherited.
Percentiles in_worker(const char* method, UniqueFd fd, int calls) {
  ::fcntl(fd.get(), F_SETFD, 0);
  std::string command = "/proc/" + std::to_string(::getpid()) + "/exe worker " + method + " " +
                        std::to_string(fd.get()) + " " + std::to_string(calls);
  rusage before{};
  rusage after{};
  ::getrusage(RUSAGE_SELF, &before);
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  fd.reset();
  Percentiles result{};
  if (pipe == nullptr || std::fscanf(pipe.get(), "%lf %lf", &result.p50, &result.p99) != 2) {
    std::abort();
  }
  ::getrusage(RUSAGE_SELF, &after);
  auto micros = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  double cpu = micros(after.ru_utime) + micros(after.ru_stime) - micros(before.ru_utime) -
               micros(before.ru_stime);
  double all = calls * 1.2;  // with those that warm up
  result.server_cpu = cpu / all;
  result.server_switches = static_cast<double>(after.ru_nvcsw - before.ru_nvcsw) / all;
  return result;
}

int worker(char** argv) {
  UniqueFd fd(std::atoi(argv[3]));
  int calls = std::atoi(argv[4]);
  bool put = std::string(argv[2]) == "put";
  Percentiles p = put ? store_put(std::move(fd), calls) : clock_now(std::move(fd), calls);
  std::printf("%f %f\n", p.p50, p.p99);
  return 0;
}

Percentiles bare_grpc(int calls) {
  SystemClock clock;
  auto sleeper = *kernel::Sleeper::create(clock);
  kernel::ClockService service(*sleeper);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  auto pair = *make_socketpair(SOCK_STREAM | SOCK_NONBLOCK);
  grpc::AddInsecureChannelFromFd(server.get(), pair.first.release());
  return in_worker("now", std::move(pair.second), calls);
}

long rollup_kib(const std::string& field) {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  long kib = 0;
  while (rollup >> word) {
    if (word == field + ":") rollup >> kib;
  }
  return kib;
}

long threads() {
  auto range = std::filesystem::directory_iterator("/proc/self/task");
  return std::distance(begin(range), end(range));
}

struct Host {
  Host() {
    char name[] = "/tmp/flodea-bench-gw-XXXXXX";
    directory = ::mkdtemp(name);
    gateway = *make_gateway({.self = backend, .clock = clock});
  }
  ~Host() {
    gateway.reset();
    std::filesystem::remove_all(directory);
  }
  UniqueFd attach() {
    AgentContext context{.id = AgentId::random()};
    context.manifest.spec.resources.calls_per_second = 10'000'000;  // the way, not the rate
    context.store_directory = UniqueFd(::open(directory.c_str(), O_PATH | O_CLOEXEC));
    return std::move(*gateway->attach(std::move(context)));
  }
  SystemClock clock;
  NoBackend backend;
  std::string directory;
  std::unique_ptr<Gateway> gateway;
};

void print(const char* name, const Percentiles& p, double raw) {
  std::printf("%-32s p50 %7.1f us  p99 %8.1f us  %5.1f x raw", name, p.p50, p.p99, p.p50 / raw);
  if (p.server_cpu > 0) {
    std::printf("  server: %5.1f us CPU, %.1f switches", p.server_cpu, p.server_switches);
  }
  std::printf("\n");
}

void idle_agents(Host& host) {
  constexpr int kAgents = 200;
  long memory = rollup_kib("Anonymous");
  long before = threads();
  std::vector<UniqueFd> workers;
  for (int i = 0; i < kAgents; ++i) workers.push_back(host.attach());
  // What has been set up by then is what stays.
  in_worker("now", host.attach(), 10);
  long grown = rollup_kib("Anonymous") - memory;
  std::printf("%d agents attached and idle: %ld KiB (%.1f each), %ld threads more\n", kAgents,
              grown, static_cast<double>(grown) / kAgents, threads() - before);
}

int run(int calls) {
  Percentiles raw = raw_ping_pong(calls);
  Percentiles bare = bare_grpc(calls);
  Host host;
  Percentiles guarded = in_worker("now", host.attach(), calls);
  print("raw 64-byte ping-pong", raw, raw.p50);
  print("Clock.Now, gRPC on a socketpair", bare, raw.p50);
  print("Clock.Now, through the gateway", guarded, raw.p50);
  print("Store.Put, 64 bytes, synced", in_worker("put", host.attach(), std::min(calls, 500)),
        raw.p50);
  idle_agents(host);
  bool within = guarded.p50 <= 12 * raw.p50;
  std::printf("Clock.Now within 12 x raw: %s\n", within ? "yes" : "NO");
  return within ? 0 : 1;
}

}  // namespace
}  // namespace flodea::control

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "worker") return flodea::control::worker(argv);
  return flodea::control::run(argc > 1 ? std::max(100, std::atoi(argv[1])) : 5000);
}
