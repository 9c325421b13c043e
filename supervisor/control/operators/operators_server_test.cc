#include "supervisor/control/operators/operators_server.h"

#include <fcntl.h>
#include <grp.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/wait.h>

#include <future>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "proto/status_codec/status_codec.h"
#include "supervisor/control/operators/listener.h"
#include "supervisor/control/operators/testing/client.h"
#include "supervisor/control/operators/testing/fakes.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using testing::TestServer;

using testing::apply_request;
using testing::call;
using testing::Client;
using testing::data;
using testing::entry;
using testing::put;
using testing::put_small;

TEST_CASE("an agent is applied, listed, read, stopped and removed") {
  TestServer server;
  Client client(server);
  std::string digest = put_small(client);
  auto request = apply_request(digest);
  auto [status, applied] = call(client, &pb::Operators::Stub::Apply, request);
  REQUIRE(status.ok());
  CHECK(applied.outcome() == pb::ApplyResponse::OUTCOME_CREATED);
  CHECK(applied.agent().spec().resources().memory() == "128Mi");
  CHECK(call(client, &pb::Operators::Stub::Apply, request).second.outcome() ==
        pb::ApplyResponse::OUTCOME_UNCHANGED);
  request.mutable_manifest()->mutable_spec()->set_stop_timeout("6s");
  CHECK(call(client, &pb::Operators::Stub::Apply, request).second.outcome() ==
        pb::ApplyResponse::OUTCOME_CHANGED);
  CHECK(call(client, &pb::Operators::Stub::List, pb::ListRequest()).second.agents_size() == 1);
  pb::GetRequest get;
  get.set_name("ledger");
  CHECK(call(client, &pb::Operators::Stub::Get, get).second.state() == pb::STATE_RUNNING);
  pb::StopRequest stop;
  stop.set_name("ledger");
  CHECK(call(client, &pb::Operators::Stub::Stop, stop).second.state() == pb::STATE_STOPPED);
  auto node = call(client, &pb::Operators::Stub::GetNode, pb::GetNodeRequest()).second;
  CHECK(node.agents_by_state().at("stopped") == 1);
  CHECK(node.version() == FLODEA_VERSION);
  CHECK(node.services(0).name() == "flodea-vault");
  pb::RemoveRequest remove;
  remove.set_name("ledger");
  CHECK(call(client, &pb::Operators::Stub::Remove, remove).second.key_digest() == "abc");
  CHECK(call(client, &pb::Operators::Stub::Get, get).first.error_code() ==
        grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("agents are listed in pages") {
  TestServer server;
  Client client(server);
  for (const char* name : {"c", "a", "b"}) {
    AgentView view;
    view.manifest.name = name;
    server.lifecycle.put(view);
  }
  pb::ListRequest request;
  request.set_page_size(2);
  auto first = call(client, &pb::Operators::Stub::List, request).second;
  REQUIRE(first.agents_size() == 2);
  CHECK(first.agents(1).name() == "b");
  request.set_page_token(first.next_page_token());
  auto second = call(client, &pb::Operators::Stub::List, request).second;
  REQUIRE(second.agents_size() == 1);
  CHECK(second.agents(0).name() == "c");
  CHECK(second.next_page_token().empty());
  request.set_page_size(5000);
  auto refused = call(client, &pb::Operators::Stub::List, request).first;
  CHECK(from_grpc_status(refused).field == "page_size");
}

TEST_CASE("a refusal names field and remedy in google.rpc details") {
  TestServer server;
  Client client(server);
  auto request = apply_request(put_small(client));
  auto refused = [&] {
    auto [status, response] = call(client, &pb::Operators::Stub::Apply, request);
    REQUIRE_FALSE(status.ok());
    return from_grpc_status(status);
  };
  request.mutable_manifest()->mutable_spec()->mutable_runtime()->set_entrypoint("mian.py");
  Error missing = refused();
  CHECK(missing.code == Code::kInvalidArgument);
  CHECK(missing.field == "spec.runtime.entrypoint");
  CHECK(missing.remedy.find("main.py") != std::string::npos);
  request.mutable_manifest()->mutable_spec()->mutable_resources()->set_memory("1Mi");
  CHECK(refused().field == "spec.resources.memory");
  request.mutable_manifest()->mutable_spec()->mutable_resources()->set_memory("64Mi");
  request.mutable_manifest()->mutable_spec()->mutable_resources()->set_cpu("3");
  CHECK(refused().code == Code::kFailedPrecondition);
  request = apply_request("sha256:" + std::string(64, '0'));
  Error unknown = refused();
  CHECK(unknown.code == Code::kNotFound);
  CHECK(unknown.field == "spec.bundle");
  pb::StartRequest start;
  start.set_name("../x");
  CHECK(call(client, &pb::Operators::Stub::Start, start).first.error_code() ==
        grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(call(client, &pb::Operators::Stub::List, pb::ListRequest()).second.agents_size() == 0);
}

TEST_CASE("a bundle that is refused or given up half-way leaves nothing") {
  TestServer server;
  Client client(server);
  pb::PutBundleResponse response;
  auto status = put(client, {entry("ok", S_IFREG | 0644), data("x"), entry("null", S_IFCHR | 0666)},
                    response);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(from_grpc_status(status).field == "spec.bundle");
  CHECK(put(client, {data("x")}, response).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(put(client, {entry("a", S_IFREG | 0644), data(std::string(257 << 10, 'x'))}, response)
            .error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  std::vector<pb::PutBundleRequest> large{entry("a", S_IFREG | 0644)};
  large.resize(1 + 65 * 4, data(std::string(256 << 10, 'x')));
  CHECK(put(client, large, response).error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  {
    grpc::ClientContext context;
    auto writer = client.stub->PutBundle(&context, &response);
    REQUIRE(writer->Write(entry("a", S_IFREG | 0644)));
    context.TryCancel();
    CHECK(writer->Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  server.server.reset();  // waits for what is under way
  CHECK(server.stored() == 0);
}

TEST_CASE("a call that waits is answered late, or cancelled at its deadline") {
  TestServer server;
  Client client(server);
  server.add_agent();
  server.lifecycle.hold = true;
  pb::StopRequest stop;
  stop.set_name("a");
  stop.set_wait(true);
  // Long enough to reach the server, however slow the machine.
  for (auto patience = std::chrono::milliseconds(50); server.lifecycle.held() == 0; patience *= 2) {
    grpc::ClientContext context;
    pb::Agent agent;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    REQUIRE(client.stub->Stop(&context, stop, &agent).error_code() ==
            grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  auto late = std::async(std::launch::async,
                         [&] { return call(client, &pb::Operators::Stub::Stop, stop); });
  while (server.lifecycle.held() < 2) std::this_thread::yield();
  server.lifecycle.release();  // the first has nobody to answer any more
  auto [status, agent] = late.get();
  CHECK(status.ok());
  CHECK(agent.state() == pb::STATE_STOPPED);
}

std::vector<pb::LogEntry> read_logs(Client& client, const pb::LogsRequest& request) {
  grpc::ClientContext context;
  auto reader = client.stub->Logs(&context, request);
  std::vector<pb::LogEntry> lines;
  for (pb::LogEntry line; reader->Read(&line);) lines.push_back(line);
  CHECK(reader->Finish().ok());
  return lines;
}

TEST_CASE("logs come in order over many pages, from a tail, after a cursor, as UTF-8") {
  TestServer server;
  Client client(server);
  AgentId id = server.add_agent().id;
  for (int i = 0; i < 1000; ++i)
    REQUIRE(server.logs.append(id, {7}, LogStream::kStdout, "line " + std::to_string(i)));
  REQUIRE(server.logs.append(id, {7}, LogStream::kStderr, "bad \xff byte"));
  pb::LogsRequest request;
  request.set_name("a");
  auto all = read_logs(client, request);
  REQUIRE(all.size() == 1001);
  CHECK(all[999].line() == "line 999");
  CHECK(all[1000].line() == "bad \xEF\xBF\xBD byte");
  CHECK(all[1000].stream() == "stderr");
  CHECK(all[1000].generation() == 7);
  request.set_tail(3);
  CHECK(read_logs(client, request).front().line() == "line 998");
  request.set_tail(0);
  CHECK(read_logs(client, request).empty());
  request.clear_tail();
  request.set_cursor(all[990].cursor());
  CHECK(read_logs(client, request).front().line() == "line 991");
  request.clear_cursor();
  request.mutable_since()->set_nanos(995);
  CHECK(read_logs(client, request).front().line() == "line 995");
  request.set_name("nobody");
  grpc::ClientContext context;
  auto reader = client.stub->Logs(&context, request);
  CHECK(reader->Finish().error_code() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("a log is followed until its agent is removed") {
  TestServer server;
  Client client(server);
  AgentId id = server.add_agent().id;
  REQUIRE(server.logs.append(id, {1}, LogStream::kStdout, "old"));
  pb::LogsRequest request;
  request.set_name("a");
  request.set_follow(true);
  request.set_tail(0);
  grpc::ClientContext context;
  auto reader = client.stub->Logs(&context, request);
  while (server.logs.handed_out() == 0) std::this_thread::yield();  // it knows where the end is
  pb::LogEntry line;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(server.logs.append(id, {1}, LogStream::kStdout, std::to_string(i)));
    REQUIRE(reader->Read(&line));
    CHECK(line.line() == std::to_string(i));
  }
  pb::RemoveRequest remove;
  remove.set_name("a");
  REQUIRE(call(client, &pb::Operators::Stub::Remove, remove).first.ok());
  REQUIRE(server.events.record({.kind = "agent.removed", .agent = "a"}));
  CHECK_FALSE(reader->Read(&line));
  CHECK(reader->Finish().ok());
  server.server.reset();
  CHECK(server.logs.subscribers() == 0);
  CHECK(server.events.subscribers() == 0);
}

TEST_CASE("events are followed from an id on") {
  TestServer server;
  Client client(server);
  for (int i = 1; i <= 3; ++i)
    REQUIRE(server.events.record({.kind = "agent.state", .agent = "a", .to = "running"}));
  pb::EventsRequest request;
  request.set_follow(true);
  request.set_after_id(2);
  grpc::ClientContext context;
  auto reader = client.stub->Events(&context, request);
  pb::Event event;
  REQUIRE(reader->Read(&event));
  CHECK(event.id() == 3);
  REQUIRE(server.events.record({.kind = "node", .message = "bad \xff"}));
  REQUIRE(reader->Read(&event));
  CHECK(event.id() == 4);
  CHECK(event.message() == "bad \xEF\xBF\xBD");
  context.TryCancel();
  CHECK_FALSE(reader->Read(&event));
  CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("a client that stops reading holds up its own stream alone") {
  TestServer server;
  Client stalled(server), other(server);
  AgentId id = server.add_agent().id;
  std::string text(8000, 'x');
  for (int i = 0; i < 5000; ++i)
    REQUIRE(server.logs.append(id, {1}, LogStream::kStdout, text));  // 40 MB
  pb::LogsRequest request;
  request.set_name("a");
  grpc::ClientContext context;
  auto reader = stalled.stub->Logs(&context, request);
  pb::LogEntry line;
  REQUIRE(reader->Read(&line));
  for (int i = 0; i < 200; ++i)
    REQUIRE(call(other, &pb::Operators::Stub::List, pb::ListRequest()).first.ok());
  // A few pages went into flow-control windows and socket buffers; the rest was never asked for.
  CHECK(server.logs.handed_out() < 2000);
  std::size_t lines = 1;
  while (reader->Read(&line)) ++lines;
  CHECK(lines == 5000);
  CHECK(reader->Finish().ok());
}

TEST_CASE("streams are bounded in number, and a closed one makes room") {
  TestServer server;
  Client client(server);
  Client second(server);
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<pb::Event>> reader;
  };
  std::vector<std::unique_ptr<Open>> open;
  REQUIRE(server.events.record({.kind = "node"}));
  pb::EventsRequest request;
  request.set_follow(true);
  pb::Event event;
  for (int i = 0; i < OperatorsService::kMaxStreams; ++i) {
    auto stream = std::make_unique<Open>();
    stream->reader = (i % 2 == 0 ? client : second).stub->Events(&stream->context, request);
    REQUIRE(stream->reader->Read(&event));
    open.push_back(std::move(stream));
  }
  grpc::ClientContext context;
  auto refused = client.stub->Events(&context, request);
  CHECK_FALSE(refused->Read(&event));
  CHECK(refused->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Ending the server ends what still follows.
  server.server.reset();
  for (auto& stream : open) {
    while (stream->reader->Read(&event)) {
    }
    CHECK_FALSE(stream->reader->Finish().ok());
  }
  CHECK(server.events.subscribers() == 0);
}

TEST_CASE("health and reflection answer as gRPC's tools expect") {
  TestServer server;
  Client client(server);
  auto health = grpc::health::v1::Health::NewStub(client.channel);
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  {
    grpc::ClientContext context;
    request.set_service("flodea.operators.v1.Operators");
    REQUIRE(health->Check(&context, request, &response).ok());
    CHECK(response.status() == grpc::health::v1::HealthCheckResponse::SERVING);
  }
  {
    grpc::ClientContext context;
    request.set_service("nothing");
    CHECK(health->Check(&context, request, &response).error_code() == grpc::StatusCode::NOT_FOUND);
  }
  namespace reflection = grpc::reflection::v1alpha;
  auto stub = reflection::ServerReflection::NewStub(client.channel);
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  reflection::ServerReflectionRequest ask;
  reflection::ServerReflectionResponse answer;
  ask.set_list_services("");
  REQUIRE(stream->Write(ask));
  REQUIRE(stream->Read(&answer));
  CHECK(answer.list_services_response().service(0).name() == "flodea.operators.v1.Operators");
  ask.set_file_containing_symbol("flodea.operators.v1.Operators");
  REQUIRE(stream->Write(ask));
  REQUIRE(stream->Read(&answer));
  CHECK(answer.file_descriptor_response().file_descriptor_proto_size() >= 3);
  ask.set_file_by_filename("no.proto");
  REQUIRE(stream->Write(ask));
  REQUIRE(stream->Read(&answer));
  CHECK(answer.error_response().error_code() == grpc::StatusCode::NOT_FOUND);
  stream->WritesDone();
  CHECK(stream->Finish().ok());
}

// --- Who may connect

enum class Seen { kGreeted, kClosed, kNotConnected, kOther };

// Connects in a child of that identity. A gRPC server greets first (HTTP/2 SETTINGS); one that
// refuses closes.
Seen connect_as(const TestServer& server, uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
  pid_t child = ::fork();
  if (child == 0) {
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
      ::_exit(9);
    sockaddr_un address{.sun_family = AF_UNIX};
    std::memcpy(address.sun_path, server.socket.c_str(), server.socket.size());
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      ::_exit(static_cast<int>(Seen::kNotConnected));
    pollfd wait{.fd = fd, .events = POLLIN};
    if (::poll(&wait, 1, 10'000) != 1) ::_exit(static_cast<int>(Seen::kOther));
    char byte;
    ssize_t n = ::read(fd, &byte, 1);
    ::_exit(static_cast<int>(n == 1 ? Seen::kGreeted : Seen::kClosed));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? static_cast<Seen>(WEXITSTATUS(status)) : Seen::kOther;
}

TEST_CASE(
    "root and the operators' group are let in, nobody else, though the socket's mode would let "
    "all") {
  if (::geteuid() != 0) SKIP("needs root, to become somebody else");
  TestServer server;
  constexpr gid_t kGroup = TestServer::kGroup;
  CHECK(connect_as(server, 0, 0, {}) == Seen::kGreeted);
  CHECK(connect_as(server, 12345, kGroup, {}) == Seen::kGreeted);
  CHECK(connect_as(server, 12345, 12345, {7, kGroup, 9}) == Seen::kGreeted);
  // kClosed, not kNotConnected: connect(2) itself went well, so it is the check that keeps them
  // out.
  CHECK(connect_as(server, 12345, 12345, {}) == Seen::kClosed);
  CHECK(connect_as(server, 12345, 12345, {0, 1, 2}) == Seen::kClosed);
  CHECK(connect_as(server, 65534, 65534, {65534}) == Seen::kClosed);
}

UniqueFd connect_raw(const TestServer& server) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  std::memcpy(address.sun_path, server.socket.c_str(), server.socket.size());
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

bool greeted(const UniqueFd& fd) {
  pollfd wait{.fd = fd.get(), .events = POLLIN};
  REQUIRE(::poll(&wait, 1, 10'000) == 1);
  char byte;
  return ::read(fd.get(), &byte, 1) == 1;
}

TEST_CASE("connections are bounded, and one that ends makes room") {
  TestServer server;
  std::vector<UniqueFd> open;
  for (std::size_t i = 0; i < Listener::kMaxConnections; ++i) {
    open.push_back(connect_raw(server));
    REQUIRE(greeted(open.back()));
  }
  CHECK_FALSE(greeted(connect_raw(server)));
  open.pop_back();
  bool again = false;
  for (int i = 0; i < 1000 && !again; ++i) {
    auto fd = connect_raw(server);
    again = greeted(fd);
    if (again) open.push_back(std::move(fd));
  }
  CHECK(again);
}

}  // namespace
}  // namespace flodea::control
