// What the operators' server tells of the past and of what would be: events, revisions, watches.
#include <unistd.h>

#include "proto/status_codec/status_codec.h"
#include "supervisor/control/operators/testing/client.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using testing::apply_request;
using testing::call;
using testing::Client;
using testing::put_small;
using testing::TestServer;

TEST_CASE("events are filtered by kind, name, label and time") {
  TestServer server;
  Client client(server);
  auto record = [&](const char* agent, const char* kind, const char* team, int second) {
    Event event{.time = std::chrono::seconds(second), .kind = kind, .agent = agent};
    event.labels["team"] = team;
    REQUIRE(server.events.record(event));
  };
  record("a", "agent.state", "risk", 1);
  record("b", "agent.state", "treasury", 2);
  record("a", "agent.applied", "risk", 3);
  auto ids = [&](const pb::EventsRequest& request) {
    grpc::ClientContext context;
    auto reader = client.stub->Events(&context, request);
    std::vector<std::uint64_t> found;
    pb::Event event;
    while (reader->Read(&event)) found.push_back(event.id());
    CHECK(reader->Finish().ok());
    return found;
  };
  using Ids = std::vector<std::uint64_t>;
  pb::EventsRequest request;
  request.set_selector("team=risk");
  CHECK(ids(request) == Ids{1, 3});
  request.add_kinds("agent.state");
  CHECK(ids(request) == Ids{1});
  request.clear_selector();
  request.add_names("b");
  CHECK(ids(request) == Ids{2});
  request = {};
  request.mutable_until()->set_seconds(2);
  CHECK(ids(request) == Ids{1, 2});
  auto refused = [&](const pb::EventsRequest& wrong) {
    grpc::ClientContext context;
    auto reader = client.stub->Events(&context, wrong);
    pb::Event event;
    CHECK_FALSE(reader->Read(&event));
    return from_grpc_status(reader->Finish()).field;
  };
  request.set_follow(true);
  CHECK(refused(request) == "until");
  request = {};
  request.set_selector("a in b");
  CHECK(refused(request) == "selector");
}

TEST_CASE("agents are listed by label, and watched from one message to the next") {
  TestServer server;
  Client client(server);
  for (const char* name : {"a", "b", "c"}) {
    AgentView view;
    view.manifest.name = name;
    if (*name != 'b') view.manifest.labels["team"] = "risk";
    server.lifecycle.put(view);
  }
  pb::ListRequest list;
  list.set_selector("team=risk");
  list.set_page_size(1);
  auto page = call(client, &pb::Operators::Stub::List, list).second;
  CHECK(page.agents(0).name() == "a");
  list.set_page_token(page.next_page_token());
  page = call(client, &pb::Operators::Stub::List, list).second;
  CHECK(page.agents(0).name() == "c");
  CHECK(page.next_page_token().empty());
  list.set_selector("team=");
  CHECK(call(client, &pb::Operators::Stub::List, list).second.agents_size() == 0);
  list.set_selector("team=(");
  CHECK(from_grpc_status(call(client, &pb::Operators::Stub::List, list).first).field == "selector");

  pb::WatchAgentsRequest request;
  request.set_selector("team");
  grpc::ClientContext context;
  auto reader = client.stub->WatchAgents(&context, request);
  pb::AgentChange change;
  for (auto wanted : {pb::AgentChange::TYPE_PRESENT, pb::AgentChange::TYPE_PRESENT,
                      pb::AgentChange::TYPE_SYNCED}) {
    REQUIRE(reader->Read(&change));
    CHECK(change.type() == wanted);
  }
  REQUIRE(server.events.record({.kind = "agent.state", .agent = "b"}));
  REQUIRE(server.events.record({.kind = "agent.state", .agent = "c"}));
  REQUIRE(reader->Read(&change));
  CHECK(change.type() == pb::AgentChange::TYPE_CHANGED);
  CHECK(change.agent().name() == "c");
  context.TryCancel();
  CHECK_FALSE(reader->Read(&change));
  CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
  server.server.reset();
  CHECK(server.events.subscribers() == 0);
}

TEST_CASE("revisions, rollback and a plan; who asks is the connection's uid") {
  TestServer server;
  Client client(server);
  auto request = apply_request(put_small(client));
  REQUIRE(call(client, &pb::Operators::Stub::Apply, request).first.ok());
  CHECK(server.lifecycle.last_asked_by() == "uid " + std::to_string(::geteuid()));
  request.mutable_manifest()->mutable_spec()->set_stop_timeout("6s");
  pb::PlanRequest planned;
  *planned.add_manifests() = request.manifest();
  auto plan = call(client, &pb::Operators::Stub::Plan, planned).second;
  REQUIRE(plan.outcomes_size() == 1);
  CHECK(plan.outcomes(0).outcome() == pb::ApplyResponse::OUTCOME_CHANGED);
  CHECK(plan.outcomes(0).agent().spec().stop_timeout() == "6s");
  *planned.add_manifests() = request.manifest();
  auto twice = call(client, &pb::Operators::Stub::Plan, planned).first;
  CHECK(from_grpc_status(twice).field == "manifests[1].metadata.name");
  pb::AwaitRequest await;
  await.set_name("ledger");
  await.set_revision(1);
  CHECK(call(client, &pb::Operators::Stub::Await, await).second.name() == "ledger");
  await.set_name("Not a name");
  CHECK(from_grpc_status(call(client, &pb::Operators::Stub::Await, await).first).field == "name");
  pb::GetRequest get;
  get.set_name("ledger");
  CHECK(call(client, &pb::Operators::Stub::Get, get).second.spec().stop_timeout() == "5s");
  REQUIRE(call(client, &pb::Operators::Stub::Apply, request).first.ok());
  pb::ListRevisionsRequest list;
  list.set_name("ledger");
  auto all = call(client, &pb::Operators::Stub::ListRevisions, list).second;
  REQUIRE(all.revisions_size() == 2);
  CHECK((all.revisions(0).revision() == 2 && all.revisions(0).current()));
  CHECK_FALSE(all.revisions(0).has_manifest());
  list.set_revision(1);
  auto one = call(client, &pb::Operators::Stub::ListRevisions, list).second;
  REQUIRE(one.revisions_size() == 1);
  CHECK(one.revisions(0).manifest().spec().stop_timeout() == "5s");
  list.set_revision(9);
  CHECK(from_grpc_status(call(client, &pb::Operators::Stub::ListRevisions, list).first).field ==
        "revision");
  pb::RollbackRequest back;
  back.set_name("ledger");
  back.set_revision(1);
  auto rolled = call(client, &pb::Operators::Stub::Rollback, back).second;
  CHECK(rolled.agent().revision() == 3);
  CHECK(rolled.agent().spec().stop_timeout() == "5s");
}

TEST_CASE("an agent is told with its last ten transitions") {
  TestServer server;
  Client client(server);
  server.add_agent();
  for (int i = 0; i < 12; ++i) {
    REQUIRE(server.events.record({.kind = "agent.state", .agent = "a", .to = std::to_string(i)}));
    REQUIRE(server.events.record({.kind = "agent.limit", .agent = "a"}));
  }
  pb::GetRequest get;
  get.set_name("a");
  auto agent = call(client, &pb::Operators::Stub::Get, get).second;
  REQUIRE(agent.transitions_size() == 10);
  CHECK(agent.transitions(0).to() == "2");
  CHECK(agent.transitions(9).to() == "11");
}

}  // namespace
}  // namespace flodea::control
