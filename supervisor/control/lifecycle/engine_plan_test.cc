// What an apply of several manifests together would do.
#include "supervisor/control/lifecycle/admission.h"
#include "supervisor/control/lifecycle/engine_bench_test.h"

using namespace flodea;
using namespace flodea::control;
using namespace flodea::control::testing;

namespace {

using Kind = ApplyOutcome::Kind;

AgentManifest after(std::string name, std::vector<std::string> others) {
  AgentManifest m = EngineBench::manifest(std::move(name));
  m.spec.after = std::move(others);
  return m;
}

AgentManifest with_disk(std::string name, std::uint64_t bytes) {
  AgentManifest m = EngineBench::manifest(std::move(name));
  m.spec.resources.disk_bytes = bytes;
  return m;
}

Result<std::vector<ApplyOutcome>> plan(EngineBench& b, std::vector<AgentManifest> manifests) {
  Result<std::vector<ApplyOutcome>> out = fail(Code::kUnknown, "no answer");
  b.engine->plan(std::move(manifests), [&](auto r) { out = std::move(r); });
  b.run_posted();
  return out;
}

}  // namespace

TEST_CASE("a plan makes all checks, answers what would be, and changes nothing") {
  EngineBench b;
  REQUIRE(b.apply(b.manifest()));
  b.engine->stop("ledger", false, [](auto) {});
  b.run_posted();
  b.effects.take();
  std::size_t events = b.events.all.size();
  AgentManifest changed = b.manifest();
  changed.spec.resources.pids = 5;
  auto planned = plan(b, {changed, b.manifest("other")});
  REQUIRE(planned);
  REQUIRE(planned->size() == 2);
  CHECK(planned->at(0).kind == Kind::kChanged);
  CHECK(planned->at(0).agent.revision == 2);
  CHECK(planned->at(0).agent.manifest.spec.resources.pids == 5);
  CHECK_FALSE(planned->at(0).agent.desired_running);
  CHECK(planned->at(1).kind == Kind::kCreated);
  CHECK(plan(b, {b.manifest()})->front().kind == Kind::kUnchanged);
  AgentManifest large = b.manifest();
  large.spec.resources.memory_bytes = 2ull << 30;
  auto refused = plan(b, {b.manifest("other"), large});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == "manifests[1].spec.resources.memory");
  CHECK(refused.error().message.starts_with("agent ledger: "));
  CHECK(b.effects.take().empty());
  CHECK(b.events.all.size() == events);
  CHECK(b.view()->revision == 1);
  CHECK_FALSE(b.view("other"));
}

TEST_CASE("manifests that would make a ring together are refused, those that undo one are not") {
  EngineBench b;
  auto refused = plan(b, {after("a", {"b"}), after("b", {"a"})});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == "manifests[0].spec.after");
  CHECK(refused.error().message.find("a after b after a") != std::string::npos);
  REQUIRE(b.apply(after("a", {"b"})));
  REQUIRE(b.apply(after("b", {})));
  CHECK_FALSE(b.apply(after("b", {"a"})));
  CHECK(plan(b, {after("b", {"a"}), after("a", {})}));
}

TEST_CASE("a ring is told of one of its own, whatever else leads to it") {
  EngineBench b;
  auto refused = plan(b, {after("a", {"b"}), after("b", {"d", "c"}), after("c", {"b"}),
                          after("d", {"e"}), after("e", {"d"})});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == "manifests[1].spec.after");
  CHECK(refused.error().message.find("b after c after b") != std::string::npos);
  auto itself = plan(b, {after("a", {"a"})});
  REQUIRE_FALSE(itself);
  CHECK(itself.error().message.find("a after a") != std::string::npos);
}

TEST_CASE("a plan of as many agents as a host may have is judged in one turn") {
  EngineBench b;
  constexpr int kAgents = 4000, kDeep = 8;
  std::vector<AgentManifest> layers;  // each after eight of the layer before
  for (int i = 0; i < kAgents; ++i) {
    std::vector<std::string> others;
    for (int k = 0; k < kDeep && i >= kDeep; ++k)
      others.push_back("a" + std::to_string(i / kDeep * kDeep - kDeep + k));
    layers.push_back(after("a" + std::to_string(i), std::move(others)));
    layers.back().spec.resources.disk_bytes = kMiB;
  }
  b.effects.free = 1ull << 40;
  CHECK(plan(b, layers));
  layers.front().spec.after = {"a" + std::to_string(kAgents - 1)};
  auto refused = plan(b, layers);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == "manifests[0].spec.after");
}

TEST_CASE("the disks of a plan's new agents are counted together") {
  EngineBench b;
  b.effects.free = image_bytes(64 * kMiB) + image_bytes(32 * kMiB);
  CHECK(plan(b, {with_disk("a", 64 * kMiB), with_disk("b", 32 * kMiB)}));
  auto refused = plan(b, {with_disk("a", 64 * kMiB), with_disk("b", 33 * kMiB)});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kResourceExhausted);
  CHECK(refused.error().field == "manifests[1].spec.resources.disk");
  REQUIRE(b.apply(with_disk("a", 64 * kMiB)));
  CHECK(plan(b, {with_disk("a", 64 * kMiB), with_disk("b", 32 * kMiB)}));  // it has its own
  CHECK_FALSE(plan(b, {with_disk("b", 32 * kMiB), with_disk("c", 16 * kMiB)}));
}
