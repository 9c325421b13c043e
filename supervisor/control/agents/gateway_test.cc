#include "supervisor/control/agents/gateway.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "flodea/agent/v1/self.grpc.pb.h"
#include "flodea/kernel/v1/clock.grpc.pb.h"
#include "flodea/storage/v1/store.grpc.pb.h"
#include "proto/status_codec/status_codec.h"
#include "supervisor/control/agents/agent_endpoint.h"

namespace flodea::control {
namespace {

using std::chrono::seconds;

class RecordingBackend final : public SelfBackend {
 public:
  SelfUsage usage(const AgentId&) override { return {.memory_bytes = 4096, .pids = 3}; }
  Status log(const AgentId&, Generation, std::string line) override {
    std::lock_guard lock(mutex_);
    lines.push_back(std::move(line));
    return {};
  }
  void ready(const AgentId& agent, Generation generation) override {
    std::lock_guard lock(mutex_);
    ready_agent = agent;
    ready_generation = generation;
  }
  std::mutex mutex_;
  std::vector<std::string> lines;
  AgentId ready_agent;
  Generation ready_generation;
};

// What on_call and on_limit were told, and a way to wait for it.
class Recorder {
 public:
  void add(std::string text) {
    std::lock_guard lock(mutex_);
    texts_.push_back(std::move(text));
    changed_.notify_all();
  }
  bool wait_for(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20),
                             [&] { return std::ranges::find(texts_, text) != texts_.end(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> texts_;
};

struct Fixture {
  Fixture() {
    char name[] = "/tmp/flodea-gw-XXXXXX";
    directory = ::mkdtemp(name);
    GatewayConfig config{.self = backend, .clock = clock};
    config.on_call = [this](const AgentId&, const std::string& method, const std::string& code,
                            Nanos) { calls.add(method + " " + code); };
    config.on_limit = [this](const LimitNotice& notice) { limits.add(notice.text()); };
    gateway = *make_gateway(std::move(config));
  }
  ~Fixture() {
    gateway.reset();
    std::filesystem::remove_all(directory);
  }

  AgentContext context(const AgentId& id) {
    AgentContext c{.id = id, .generation = {7}};
    c.manifest.name = "ledger";
    c.spec_json = "{}";
    c.store_directory = UniqueFd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return c;
  }
  std::shared_ptr<grpc::Channel> channel(Result<UniqueFd> fd) {
    REQUIRE(fd.has_value());
    return grpc::CreateInsecureChannelFromFd("control", fd->release());
  }
  std::shared_ptr<grpc::Channel> attach(const AgentId& id) {
    return channel(gateway->attach(context(id)));
  }
  void detach(const AgentId& id) {
    std::promise<void> done;
    gateway->detach(id, [&done] { done.set_value(); });
    REQUIRE(done.get_future().wait_for(seconds(20)) == std::future_status::ready);
  }

  SystemClock clock;
  RecordingBackend backend;
  Recorder calls;
  Recorder limits;
  std::string directory;
  std::unique_ptr<Gateway> gateway;
};

struct Call {
  Call() { context.set_deadline(std::chrono::system_clock::now() + seconds(20)); }
  grpc::ClientContext context;
};

grpc::Status now(const std::shared_ptr<grpc::Channel>& channel) {
  Call call;
  kernel::v1::NowResponse response;
  return kernel::v1::Clock::NewStub(channel)->Now(&call.context, {}, &response);
}

storage::v1::PutRequest put_request(const std::string& key, const std::string& value) {
  storage::v1::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  return request;
}

}  // namespace

TEST_CASE("an agent asks for the time through the guard") {
  Fixture f;
  AgentId id = AgentId::random();
  auto channel = f.attach(id);
  Call call;
  kernel::v1::NowResponse response;
  Nanos before = f.clock.wall();
  auto status = kernel::v1::Clock::NewStub(channel)->Now(&call.context, {}, &response);
  REQUIRE(status.ok());
  CHECK(response.wall_nanos() >= before.count());
  CHECK(response.monotonic_nanos() > 0);
  CHECK(f.calls.wait_for("flodea.kernel.v1.Clock/Now OK"));
  CHECK(f.gateway->usage(id).calls == 1);
  CHECK(f.gateway->usage(id).calls_by_code.at("OK") == 1);
}

TEST_CASE("methods that do not exist share one label") {
  Fixture f;
  auto channel = f.attach(AgentId::random());
  grpc::GenericStub stub(channel);
  for (const char* method : {"/a.B/C", "/flodea.kernel.v1.Clock/Then"}) {
    Call call;
    grpc::CompletionQueue queue;
    grpc::ByteBuffer request, response;
    auto rpc = stub.PrepareUnaryCall(&call.context, method, request, &queue);
    grpc::Status status;
    rpc->StartCall();
    rpc->Finish(&response, &status, nullptr);
    void* tag;
    bool ok;
    REQUIRE(queue.Next(&tag, &ok));
    CHECK(status.error_code() == grpc::StatusCode::UNIMPLEMENTED);
  }
  CHECK(f.calls.wait_for("unknown UNIMPLEMENTED"));
}

TEST_CASE("the store keeps what was put, and tells the version that stood in the way") {
  Fixture f;
  AgentId id = AgentId::random();
  auto stub = storage::v1::Store::NewStub(f.attach(id));
  storage::v1::PutResponse put;
  auto request = put_request("k", "v");
  request.set_if_version(0);
  {
    Call call;
    REQUIRE(stub->Put(&call.context, request, &put).ok());
  }
  Call call;
  Error error = from_grpc_status(stub->Put(&call.context, request, &put));
  CHECK(error.code == Code::kFailedPrecondition);
  CHECK(error.field == "if_version");
  REQUIRE(error.metadata.size() == 1);
  CHECK(error.metadata[0].first == "current_version");
  CHECK(error.metadata[0].second == std::to_string(put.version()));
  f.detach(id);

  // The next instance finds it.
  auto again = storage::v1::Store::NewStub(f.attach(id));
  Call get;
  storage::v1::GetRequest get_request;
  get_request.set_key("k");
  storage::v1::GetResponse got;
  REQUIRE(again->Get(&get.context, get_request, &got).ok());
  CHECK(got.entry().value() == "v");
}

TEST_CASE("a second attachment ends the first and opens the same store") {
  Fixture f;
  AgentId id = AgentId::random();
  auto first = f.attach(id);
  Call put_call;
  storage::v1::PutResponse put;
  REQUIRE(
      storage::v1::Store::NewStub(first)->Put(&put_call.context, put_request("a", "1"), &put).ok());
  auto second = f.attach(id);
  Call call;
  storage::v1::GetRequest request;
  request.set_key("a");
  storage::v1::GetResponse got;
  REQUIRE(storage::v1::Store::NewStub(second)->Get(&call.context, request, &got).ok());
  CHECK(now(first).error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("a reconnected worker goes on, its earlier connection is closed") {
  Fixture f;
  AgentId id = AgentId::random();
  auto first = f.attach(id);
  REQUIRE(now(first).ok());
  auto second = f.channel(f.gateway->reconnect(id));
  CHECK(now(second).ok());
  CHECK(now(first).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(f.gateway->reconnect(AgentId::random()).error().code == Code::kNotFound);
}

TEST_CASE("a connection that the guard closes is told as closed, and a fresh one serves") {
  Fixture f;
  AgentId id = AgentId::random();
  UniqueFd worker = std::move(*f.gateway->attach(f.context(id)));
  std::string garbage = "no preface at all";
  REQUIRE(::send(worker.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL) > 0);
  CHECK(f.limits.wait_for("connection closed: limit preface"));
  auto fresh = f.channel(f.gateway->reconnect(id));
  CHECK(now(fresh).ok());
}

TEST_CASE("a worker that asks for connections without end is refused") {
  Fixture f;
  AgentId id = AgentId::random();
  auto channel = f.attach(id);
  int granted = 0;
  while (granted < 100 && f.gateway->reconnect(id)) ++granted;
  CHECK(granted < 20);
}

TEST_CASE("a request to stop reaches the stream that waits and the one that comes later") {
  Fixture f;
  AgentId id = AgentId::random();
  auto stub = agent::v1::Self::NewStub(f.attach(id));
  Call call;
  auto stream = stub->WatchStop(&call.context, {});
  stream->WaitForInitialMetadata();
  f.gateway->notify_stop(id, {.reason = "operator", .deadline = Nanos(42)});
  agent::v1::StopNotice notice;
  REQUIRE(stream->Read(&notice));
  CHECK(notice.reason() == "operator");
  CHECK(notice.deadline_nanos() == 42);
  CHECK_FALSE(stream->Read(&notice));
  CHECK(stream->Finish().ok());

  Call later;
  auto reopened = stub->WatchStop(&later.context, {});
  REQUIRE(reopened->Read(&notice));
  CHECK(notice.reason() == "operator");
}

TEST_CASE("an agent describes itself, logs, and says that it is ready") {
  Fixture f;
  AgentId id = AgentId::random();
  auto stub = agent::v1::Self::NewStub(f.attach(id));
  {
    Call call;
    agent::v1::DescribeResponse response;
    REQUIRE(stub->Describe(&call.context, {}, &response).ok());
    CHECK(response.name() == "ledger");
    CHECK(response.generation() == 7);
  }
  {
    Call call;
    agent::v1::LogRequest request;
    request.add_records()->set_message("traded");
    agent::v1::LogResponse response;
    REQUIRE(stub->Log(&call.context, request, &response).ok());
    std::lock_guard lock(f.backend.mutex_);
    REQUIRE(f.backend.lines.size() == 1);
    CHECK(f.backend.lines[0] == R"({"level":"info","message":"traded"})");
  }
  Call call;
  agent::v1::ReadyResponse response;
  REQUIRE(stub->Ready(&call.context, {}, &response).ok());
  Call beat;
  agent::v1::BeatResponse beaten;
  REQUIRE(stub->Beat(&beat.context, {}, &beaten).ok());
  std::lock_guard lock(f.backend.mutex_);
  CHECK(f.backend.ready_agent == id);
  CHECK(f.backend.ready_generation == Generation{7});
}

TEST_CASE("a sleep ends at its time; the 65th is refused; cancelling one makes room") {
  Fixture f;
  auto stub = kernel::v1::Clock::NewStub(f.attach(AgentId::random()));
  grpc::CompletionQueue queue;
  struct Pending {
    grpc::ClientContext context;
    kernel::v1::SleepUntilResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<kernel::v1::SleepUntilResponse>> rpc;
  };
  auto begin_sleep = [&](Nanos until) {
    auto pending = std::make_unique<Pending>();
    kernel::v1::SleepUntilRequest request;
    request.set_monotonic_nanos(until.count());
    pending->rpc = stub->AsyncSleepUntil(&pending->context, request, &queue);
    pending->rpc->Finish(&pending->response, &pending->status, pending.get());
    return pending;
  };
  auto next = [&] {
    void* tag = nullptr;
    bool ok;
    REQUIRE(queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + seconds(20)) ==
            grpc::CompletionQueue::GOT_EVENT);
    return static_cast<Pending*>(tag);
  };
  Nanos far = f.clock.monotonic() + std::chrono::hours(1);
  std::vector<std::unique_ptr<Pending>> sleeps;
  for (int i = 0; i < 65; ++i) sleeps.push_back(begin_sleep(far));
  Pending* refused = next();
  CHECK(refused->status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  sleeps[refused == sleeps[0].get() ? 1 : 0]->context.TryCancel();
  CHECK(next()->status.error_code() == grpc::StatusCode::CANCELLED);
  CHECK(f.calls.wait_for("flodea.kernel.v1.Clock/SleepUntil CANCELLED"));

  Nanos soon = f.clock.monotonic() + std::chrono::milliseconds(30);
  auto last = begin_sleep(soon);
  CHECK(next() == last.get());
  CHECK(last->status.ok());
  CHECK(last->response.monotonic_nanos() >= soon.count());
  for (auto& pending : sleeps) pending->context.TryCancel();
  for (int i = 0; i < 63; ++i) next();
}

TEST_CASE("ending an agent with calls in flight does not wait for them, and closes its store") {
  Fixture f;
  AgentId id = AgentId::random();
  auto channel = f.attach(id);
  auto stub = kernel::v1::Clock::NewStub(channel);
  Call call;
  grpc::CompletionQueue queue;
  kernel::v1::SleepUntilRequest request;
  request.set_monotonic_nanos((f.clock.monotonic() + std::chrono::hours(1)).count());
  auto sleeping = stub->AsyncSleepUntil(&call.context, request, &queue);
  kernel::v1::SleepUntilResponse response;
  grpc::Status status;
  sleeping->Finish(&response, &status, nullptr);
  Call put_call;
  storage::v1::PutResponse put;
  REQUIRE(storage::v1::Store::NewStub(channel)
              ->Put(&put_call.context, put_request("a", "1"), &put)
              .ok());
  f.detach(id);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    auto target = std::filesystem::read_symlink(entry.path(), error);
    CHECK_FALSE(target.string().starts_with(f.directory));
  }
  void* tag;
  bool ok;
  REQUIRE(queue.Next(&tag, &ok));
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("once its server has ended an agent gets no connection, in whatever order it is ended") {
  Fixture f;
  auto sleeper = *kernel::Sleeper::create(f.clock);
  auto guard = *Guard::create(f.clock, {}, {});
  FrameLimits limits;
  CallObserver on_call;
  MethodNames methods = hosted_methods();
  SerialExecutor disks(1, "store");
  auto endpoint = *AgentEndpoint::create(f.context(AgentId::random()),
                                         {.guard = *guard,
                                          .sleeper = *sleeper,
                                          .self = f.backend,
                                          .clock = f.clock,
                                          .limits = limits,
                                          .on_call = on_call,
                                          .methods = methods},
                                         disks.make_strand());
  REQUIRE(endpoint->connect());
  endpoint->shut_down();
  CHECK(endpoint->connect().error().code == Code::kNotFound);
  endpoint->disconnect();
  CHECK(endpoint->connect().error().code == Code::kNotFound);
  std::promise<void> closed;
  endpoint->close_store([&closed] { closed.set_value(); });
  closed.get_future().wait();
}

TEST_CASE("a worker may ask for connections while its agent ends") {
  Fixture f;
  for (int i = 0; i < 50; ++i) {
    AgentId id = AgentId::random();
    auto worker = f.gateway->attach(f.context(id));
    REQUIRE(worker);
    std::atomic<bool> over = false;
    std::thread asking([&] {
      while (!over) (void)f.gateway->reconnect(id);
    });
    f.detach(id);
    over = true;
    asking.join();
    CHECK(f.gateway->reconnect(id).error().code == Code::kNotFound);
  }
}

TEST_CASE("calls beyond the agent's rate are slowed, counted and reported") {
  Fixture f;
  AgentId id = AgentId::random();
  AgentContext context = f.context(id);
  context.manifest.spec.resources.calls_per_second = 20;
  auto channel = f.channel(f.gateway->attach(std::move(context)));
  Nanos before = f.clock.monotonic(), elapsed{};
  std::uint64_t calls = 0;
  while (f.gateway->usage(id).calls_throttled < 10 && elapsed < seconds(20)) {
    REQUIRE(now(channel).ok());
    ++calls;
    elapsed = f.clock.monotonic() - before;
  }
  // 40 at once, and 20 a second: of the time that a call took too, or this test stood still.
  CHECK(static_cast<double>(calls) <= 40 + 20 * std::chrono::duration<double>(elapsed).count() + 1);
  CHECK(f.gateway->usage(id).calls_throttled >= 10);
  CHECK(f.gateway->usage(id).calls == calls);
  CHECK(f.limits.wait_for("slowed: rate calls"));
}

TEST_CASE("an idle agent costs less than 48 KiB and no thread") {
  Fixture f;
  auto channel = f.attach(AgentId::random());
  std::vector<UniqueFd> workers;
  auto attach_many = [&] {
    for (int i = 0; i < 200; ++i)
      workers.push_back(std::move(*f.gateway->attach(f.context(AgentId::random()))));
    REQUIRE(now(channel).ok());
  };
  attach_many();  // gRPC's own threads and first allocations: its pool grows with such a burst
  auto threads = [] {
    auto range = std::filesystem::directory_iterator("/proc/self/task");
    return std::distance(begin(range), end(range));
  };
  auto anonymous_kib = [] {
    std::ifstream rollup("/proc/self/smaps_rollup");
    std::string word;
    long kib = 0;
    while (rollup >> word) {
      if (word == "Anonymous:") rollup >> kib;
    }
    return kib;
  };
  auto threads_before = threads();
  long kib_before = anonymous_kib();
  attach_many();
#if !defined(__SANITIZE_ADDRESS__)  // memory of its own, and threads of gRPC's when it is slow
  // gRPC's pool may grow by a thread when the host is slow, whoever burdens it; 200 agents may not.
  CHECK(threads() - threads_before < 4);
  CHECK((anonymous_kib() - kib_before) / 200 < 48);
#endif
}

}  // namespace flodea::control
