#include "cli/output/changes.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::cli {
namespace {

operators::v1::Agent agent() {
  operators::v1::Agent a;
  a.set_name("ledger");
  a.set_revision(3);
  a.mutable_spec()->mutable_resources()->set_memory("64Mi");
  a.mutable_spec()->mutable_runtime()->add_args("one");
  (*a.mutable_labels())["team"] = "risk";
  (*a.mutable_labels())["x/y"] = "";
  return a;
}

TEST_CASE("the same manifest differs in nothing") {
  CHECK(changes_between(std::make_unique<operators::v1::Agent>(agent()).get(), agent()).empty());
  auto before = agent();
  CHECK(diff_text(&before, agent(), "a.yaml").empty());
}

TEST_CASE("what differs is told by the field's path") {
  auto before = agent(), after = agent();
  after.mutable_spec()->mutable_resources()->set_memory("128Mi");
  after.mutable_spec()->mutable_runtime()->add_args("two\x1b");
  (*after.mutable_labels())["team"] = "treasury";
  after.mutable_labels()->erase("x/y");
  auto changes = changes_between(&before, after);
  REQUIRE(changes.size() == 4);
  CHECK(change_text(changes[0]) == "metadata.labels.team: risk → treasury");
  CHECK(change_text(changes[1]) == "metadata.labels.x/y: \"\" → none");
  CHECK(change_text(changes[2]) == "spec.resources.memory: 64Mi → 128Mi");
  CHECK(change_text(changes[3]) == "spec.runtime.args[1]: none → two\\x1b");
  CHECK(diff_text(&before, after, "a.yaml") ==
        "--- ledger (revision 3)\n+++ ledger (a.yaml)\n"
        "-metadata.labels.team: risk\n+metadata.labels.team: treasury\n"
        "-metadata.labels.x/y: \n"
        "-spec.resources.memory: 64Mi\n+spec.resources.memory: 128Mi\n"
        "+spec.runtime.args[1]: two\\x1b\n");
}

TEST_CASE("of a new agent all is new") {
  CHECK(diff_text(nullptr, agent(), "a.yaml")
            .starts_with("--- ledger (none)\n+++ ledger (a.yaml)\n+"));
}

}  // namespace
}  // namespace flodea::cli
