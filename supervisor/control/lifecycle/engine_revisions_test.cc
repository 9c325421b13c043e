// A new revision that does not run: the one that ran is put back.
#include <algorithm>

#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;
using namespace std::chrono_literals;

namespace {

AgentManifest revision(std::string argument) {
  AgentManifest m = EngineBench::manifest();
  m.spec.runtime.args = {std::move(argument)};
  m.spec.bundle =
      *BundleDigest::from_hex(std::string(64, m.spec.runtime.args[0] == "good" ? 'a' : 'c'));
  return m;
}

// Runs the first revision for as long as proves it, then applies the second.
void replace(EngineBench& b, bool proven = true) {
  REQUIRE(b.apply(revision("good")));
  b.running();
  if (proven) b.pass(kProvenAfter);
  REQUIRE(b.apply(revision("bad")));
  b.ended(Blame::kSuccess);
  b.released();
  CHECK(b.view()->manifest == revision("bad"));
  b.present();
}

const Event* put_back(const EngineBench& b) {
  auto it = std::ranges::find(b.events.all, "agent.put_back", &Event::kind);
  return it != b.events.all.end() ? &*it : nullptr;
}

}  // namespace

TEST_CASE("a revision that fails is replaced by the one that ran, as a new revision") {
  EngineBench b;
  replace(b);
  Result<AgentView> waited = fail(Code::kUnknown, "no answer");
  b.engine->start("ledger", true, [&](auto r) { waited = std::move(r); });
  b.run_posted();
  CHECK(b.engine->bundles_in_use()->size() == 2);  // that of the revision before is kept
  b.executed();
  REQUIRE(waited);
  b.ended();
  const Event* event = put_back(b);
  REQUIRE(event != nullptr);
  CHECK(event->message.starts_with("revision 2 failed, revision 1 is put back as revision 3: "));
  CHECK(event->message.find("exit code 3") != std::string::npos);
  b.effects.take();
  b.released();
  CHECK(b.effects.take() == Orders{"start 3"});
  CHECK(b.view()->manifest == revision("good"));
  CHECK(b.view()->revision == 3);
  CHECK(b.engine->bundles_in_use()->size() == 2);  // a rollback may want that which failed
  b.running();
  b.ended();  // from here on it is its restart policy's
  CHECK(b.view()->revision == 3);
  CHECK(b.state() == "backoff");
}

TEST_CASE("who waits for the new revision hears that it was taken back") {
  EngineBench b;
  replace(b);
  Result<AgentView> waited = fail(Code::kUnknown, "no answer");
  b.engine->restart("ledger", true, [&](auto r) { waited = std::move(r); });
  b.run_posted();
  b.ended();  // of the instance that the restart replaces: not the revision's fault
  b.released();
  CHECK(put_back(b) == nullptr);
  b.present();
  b.ended();
  REQUIRE_FALSE(waited);
  CHECK(waited.error().code == Code::kAborted);
  CHECK(waited.error().message.find("revision 1 is put back") != std::string::npos);
}

TEST_CASE("a revision can be waited for after its apply was answered") {
  EngineBench b;
  auto await = [&](std::uint64_t which) {
    auto out = std::make_shared<Result<AgentView>>(fail(Code::kUnknown, "no answer"));
    b.engine->await("ledger", which, true, [out](auto r) { *out = std::move(r); });
    b.run_posted();
    return out;
  };
  CHECK((*await(0)).error().code == Code::kNotFound);
  replace(b);
  auto in_time = await(2), current = await(0);
  CHECK(in_time->error().message == "no answer");
  b.ended();
  std::string why = "agent ledger: revision 2 failed, revision 1 is put back as revision 3: ";
  CHECK(in_time->error().message.starts_with(why));
  CHECK(current->error().message.starts_with(why));
  auto late = await(2), older = await(1), none_yet = await(9);
  CHECK(late->error().message == in_time->error().message);
  CHECK(older->error().code == Code::kAborted);
  CHECK(older->error().message.find("revision 3 is") != std::string::npos);
  CHECK(none_yet->error().code == Code::kNotFound);
  auto third = await(3);
  b.released();
  b.running();
  REQUIRE(*third);
  CHECK((*third)->revision == 3);
  b.engine->stop("ledger", false, [](auto) {});
  b.run_posted();
  auto stopped = await(3);
  CHECK(stopped->error().message == "no answer");  // it is on its way to that
  b.ended(Blame::kSuccess);
  b.released();
  REQUIRE(*stopped);
  CHECK((*stopped)->state == AgentState::kStopped);
}

TEST_CASE("who waits for a revision hears when it is replaced, or the agent removed, meanwhile") {
  EngineBench b;
  replace(b);
  Result<AgentView> waited = fail(Code::kUnknown, "no answer"), started = waited;
  b.engine->await("ledger", 2, true, [&](auto r) { waited = std::move(r); });
  b.engine->start("ledger", true, [&](auto r) { started = std::move(r); });
  b.run_posted();
  CHECK(waited.error().message == "no answer");
  SECTION("replaced") {
    REQUIRE(b.apply(revision("another")));
    CHECK(waited.error().code == Code::kAborted);
    CHECK(waited.error().message.find("revision 2 is not the current one, revision 3 is") !=
          std::string::npos);
    CHECK(started.error().message == "no answer");  // whichever revision it is of
  }
  SECTION("removed") {
    b.engine->remove("ledger", false, "", [](auto) {});
    b.run_posted();
    for (const auto& one : {waited, started}) {
      CHECK(one.error().code == Code::kAborted);
      CHECK(one.error().message == "agent ledger is being removed");
    }
  }
  SECTION("shut down") {
    b.engine->close();
    b.engine->await("ledger", 2, true, [&](auto r) { waited = std::move(r); });
    b.run_posted();
    CHECK(waited.error().code == Code::kUnavailable);
  }
}

TEST_CASE("who is gone is waited for by nobody") {
  EngineBench b;
  replace(b);
  auto wait = [&](bool wanted) {
    auto answers = std::make_shared<int>(0);
    b.engine->await("ledger", 2, {true, "", [wanted] { return wanted; }},
                    [answers](auto) { ++*answers; });
    b.run_posted();
    return answers;
  };
  auto gone = wait(false), here = wait(true);
  CHECK(gone.use_count() == 1);  // the engine has forgotten it
  CHECK(here.use_count() == 2);
  b.executed();
  b.pass(kProvenAfter);
  CHECK((*gone == 0 && *here == 1));
}

TEST_CASE("who waits for an apply hears once the revision is proven, where one could be put back") {
  EngineBench b;
  REQUIRE(b.apply(revision("good")));
  b.running();
  Result<ApplyOutcome> applied = fail(Code::kUnknown, "no answer");
  auto apply_and_wait = [&](const std::string& argument) {
    applied = fail(Code::kUnknown, "no answer");
    b.engine->apply(revision(argument), {.wait = true}, [&](auto r) { applied = std::move(r); });
    b.run_posted();
    b.ended(Blame::kSuccess);
    b.released();
    b.running();
  };
  SECTION("nothing could: it runs, and that is all there is to wait for") {
    apply_and_wait("bad");
    REQUIRE(applied);
    CHECK(applied->agent.proven_revision == 0);
  }
  b.pass(kProvenAfter);
  SECTION("it runs well") {
    apply_and_wait("bad");
    CHECK_FALSE(applied);
    b.pass(kProvenAfter - 1ms);
    CHECK_FALSE(applied);
    b.pass(1ms);
    REQUIRE(applied);
    CHECK(applied->agent.proven_revision == 2);
    CHECK(b.events.all.back().kind == "agent.proven");
  }
  SECTION("it ran for a while") {
    apply_and_wait("bad");
    b.pass(kProvenAfter - 1ms);
    b.ended();
    REQUIRE_FALSE(applied);
    CHECK(applied.error().code == Code::kAborted);
  }
  SECTION("it is stopped before") {
    apply_and_wait("bad");
    b.engine->stop("ledger", false, [](auto) {});
    b.run_posted();
    b.ended(Blame::kSuccess);
    b.released();
    REQUIRE(applied);
    CHECK(applied->agent.state == AgentState::kStopped);
  }
}

TEST_CASE("control's death between a failure and what follows changes nothing") {
  EngineBench b;
  replace(b);
  REQUIRE(b.reborn());  // its instance is gone with the host: nobody's fault
  CHECK(put_back(b) == nullptr);
  b.pass(1min);
  b.running();
  b.ended();
  CHECK(put_back(b) != nullptr);
  b.released();
  REQUIRE(b.reborn());
  CHECK(b.view()->manifest == revision("good"));
}

TEST_CASE("a first revision, and one that has run, are left to the restart policy") {
  EngineBench b;
  SECTION("the one before had not run either") { replace(b, false); }
  SECTION("it has run") {
    replace(b);
    b.executed();
    b.pass(kProvenAfter);
  }
  b.executed();
  b.ended();
  CHECK(put_back(b) == nullptr);
  CHECK(b.state() == "backoff");
  CHECK(b.view()->revision == 2);
}

TEST_CASE("what would make a ring by now is not put back, and left to the restart policy") {
  EngineBench b;
  REQUIRE(b.apply(b.manifest("prices")));
  b.running("prices");
  AgentManifest waits = revision("good");
  waits.spec.after = {"prices"};
  REQUIRE(b.apply(waits));
  b.running();
  b.pass(kProvenAfter);
  REQUIRE(b.apply(revision("bad")));  // which waits for nobody
  b.ended(Blame::kSuccess);
  b.released();
  AgentManifest prices = b.manifest("prices");
  prices.spec.after = {"ledger"};
  REQUIRE(b.apply(prices));
  b.present();
  b.executed();
  b.ended();
  const Event* event = put_back(b);
  REQUIRE(event != nullptr);
  CHECK(event->message.find("cannot be put back") != std::string::npos);
  CHECK(b.view()->manifest == revision("bad"));
  b.released();
  b.present();
  b.executed();
  b.ended();
  CHECK(b.state() == "backoff");
}

TEST_CASE("changed labels alone are no new revision to be proven") {
  EngineBench b;
  REQUIRE(b.apply(revision("good")));
  b.running();
  b.pass(kProvenAfter);
  AgentManifest labelled = revision("good");
  labelled.labels["team"] = "treasury";
  REQUIRE(b.apply(labelled));
  b.ended();
  CHECK(put_back(b) == nullptr);
  CHECK(b.state() == "backoff");
}
