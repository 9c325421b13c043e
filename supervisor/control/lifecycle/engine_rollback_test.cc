#include <algorithm>

#include "supervisor/control/lifecycle/cause.h"
#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;

namespace {

struct Revised {
  EngineBench b;

  AgentManifest manifest(std::uint32_t pids) {
    AgentManifest m = b.manifest();
    m.spec.resources.pids = pids;
    m.spec.bundle = *BundleDigest::from_hex(std::string(56, 'b') + std::to_string(10000000 + pids));
    return m;
  }
  // Revisions 1 to `count`, with as many pids; none of them runs.
  explicit Revised(std::uint32_t count) {
    REQUIRE(b.apply(manifest(1)));
    b.engine->stop("ledger", false, [](auto) {});
    b.run_posted();
    for (std::uint32_t pids = 2; pids <= count; ++pids) REQUIRE(b.apply(manifest(pids), false));
  }
  Result<ApplyOutcome> back(std::uint64_t to = 0) {
    Result<ApplyOutcome> out = fail(Code::kUnknown, "no answer");
    b.engine->rollback({.name = "ledger", .revision = to}, {false, "uid 8"},
                       [&](auto r) { out = std::move(r); });
    b.run_posted();
    return out;
  }
  std::vector<RevisionView> revisions() {
    Result<std::vector<RevisionView>> out = fail(Code::kUnknown, "no answer");
    b.engine->revisions("ledger", [&](auto r) { out = std::move(r); });
    b.run_posted();
    REQUIRE(out);
    return std::move(*out);
  }
};

}  // namespace

TEST_CASE("revisions are told newest first, with who applied them and when") {
  Revised r(1);
  r.b.clock.advance(std::chrono::seconds(5));
  REQUIRE(r.b.apply(r.manifest(2)));
  auto all = r.revisions();
  REQUIRE(all.size() == 2);
  CHECK((all[0].revision == 2 && all[1].revision == 1));
  CHECK((all[0].current && !all[1].current));
  CHECK(all[0].author == "uid 7");
  CHECK(all[0].created == all[1].created + std::chrono::seconds(5));
  CHECK(all[0].manifest.spec.resources.pids == 2);
  CHECK(all[0].digest.starts_with("sha256:"));
  CHECK(all[0].digest != all[1].digest);
  CHECK(all[1].restorable);
}

TEST_CASE("a rollback makes an earlier manifest a new revision") {
  Revised r(3);
  auto back = r.back();
  REQUIRE(back);
  CHECK(back->kind == ApplyOutcome::Kind::kChanged);
  CHECK(back->agent.revision == 4);
  CHECK(back->agent.manifest.spec.resources.pids == 2);
  CHECK(r.b.events.all.back().message == "revision 4, back to revision 2");
  CHECK(r.b.events.all.back().cause == "uid 8");
  CHECK(r.back(1)->agent.manifest.spec.resources.pids == 1);
  auto all = r.revisions();
  REQUIRE(all.size() == 5);
  CHECK(all[0].digest == all[4].digest);
  CHECK(r.back(5)->kind == ApplyOutcome::Kind::kUnchanged);
  CHECK(r.b.view()->revision == 5);
}

TEST_CASE("a rollback to what is gone is one message, and the agent is untouched") {
  Revised r(2);
  AgentView before = *r.b.view();
  auto refused = [&](std::uint64_t to, Code code, const std::string& why) {
    auto back = r.back(to);
    REQUIRE_FALSE(back);
    CHECK(back.error().code == code);
    CHECK(back.error().field == "revision");
    CHECK_FALSE(back.error().remedy.empty());
    INFO(back.error().message);
    CHECK(back.error().message.find(why) != std::string::npos);
  };
  refused(7, Code::kNotFound, "agent ledger has no revision 7; its revisions 1 to 2 are kept");
  r.b.gone.insert(r.manifest(1).spec.bundle);
  refused(0, Code::kFailedPrecondition,
          "agent ledger cannot go back to revision 1: its bundle sha256:");
  CHECK_FALSE(r.revisions()[1].restorable);
  AgentView after = *r.b.view();
  CHECK((after.revision == before.revision && after.manifest == before.manifest));
  Revised young(1);
  auto none = young.back();
  REQUIRE_FALSE(none);
  CHECK(none.error().message.find("no earlier revision; its revision 1 alone") !=
        std::string::npos);
}

TEST_CASE("a hundred revisions are kept, and the bundles of the last ten") {
  Revised r(130);
  CHECK(r.revisions().size() == 100);
  CHECK_FALSE(r.back(30));
  REQUIRE(r.back(31));  // revision 131
  auto used = r.b.engine->bundles_in_use();
  REQUIRE(used);
  CHECK(used->size() == 10);
  CHECK(used->contains(r.manifest(122).spec.bundle));
  CHECK_FALSE(used->contains(r.manifest(121).spec.bundle));
  CHECK(used->contains(r.manifest(31).spec.bundle));
}

TEST_CASE("the observed revision follows the instance, or the labels alone") {
  EngineBench b;
  AgentManifest m = b.manifest();
  b.apply(m);
  CHECK(b.view()->observed_revision == 1);
  b.running();
  m.labels["team"] = "treasury";
  b.apply(m);
  CHECK(b.view()->observed_revision == 2);
  CHECK(b.events.labels["ledger"] == m.labels);
  m.spec.resources.pids = 7;
  b.apply(m);
  CHECK(b.view()->revision == 3);
  CHECK(b.view()->observed_revision == 2);
  b.ended();
  b.released();
  CHECK(b.view()->observed_revision == 3);
  REQUIRE(b.reborn());
  CHECK(b.view()->observed_revision == 3);
}

TEST_CASE("events tell who asked") {
  EngineBench b;
  b.apply(b.manifest());
  b.running();
  auto to = [&](const std::string& state) {
    auto found = std::ranges::find_if(b.events.all.rbegin(), b.events.all.rend(),
                                      [&](const Event& event) { return event.to == state; });
    REQUIRE(found != b.events.all.rend());
    return found->cause;
  };
  CHECK(b.events.all.front().cause == "uid 7");
  CHECK(to("running") == "uid 7");
  b.ended();
  CHECK(to("backoff") == "agent");
  b.released();
  b.pass(std::chrono::seconds(1));
  CHECK(to("preparing") == "policy");
  b.engine->stop("ledger", {false, "uid 9"}, [](auto) {});
  b.run_posted();
  CHECK(to("stopping") == "uid 9");
}

TEST_CASE("a cause is the operator's, the agent's, its policy's or the host's") {
  auto cause = [](AgentState state, Reason reason) {
    return cause_of({.state = state, .reason = reason}, "uid 1");
  };
  CHECK(cause(AgentState::kStopping, Reason::kOperator) == "uid 1");
  CHECK(cause(AgentState::kFailed, Reason::kOom) == "agent");
  CHECK(cause(AgentState::kStopping, Reason::kHealth) == "policy");
  CHECK(cause(AgentState::kBackoff, Reason::kLost) == "host");
  CHECK(cause(AgentState::kRunning, Reason::kWorker) == "policy");
}
