// What a journal entry must be for its agent to be taken over. The whole of it, with processes:
// reload_security_test.cc.
#include "supervisor/root/takeover.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/root/uid_ranges.h"

using namespace flodea;
using namespace flodea::root;

namespace {

JournalEntry good_entry() {
  AgentId agent = AgentId::random();
  v1::KeptInstance kept;
  kept.set_boot_id("boot");
  kept.set_uid_range(3);
  kept.set_state(v1::INSTANCE_STATE_RUNNING);
  auto& start = *kept.mutable_request();
  start.set_agent_id(agent.text());
  start.set_generation(2);
  start.set_hostname("probe");
  start.set_bundle(std::string(64, 'b'));
  start.set_runtime("python");
  start.mutable_limits()->set_memory_bytes(64 << 20);
  start.mutable_limits()->set_cpu_millis(1000);
  start.mutable_limits()->set_pids(32);
  start.mutable_limits()->set_open_files(128);
  start.mutable_limits()->set_tmp_bytes(8 << 20);
  kept.mutable_reply()->set_worker_pid(17);
  kept.mutable_reply()->set_uid_base(UidRanges::kFirst + 3 * UidRange::kSize);
  return {.name = agent.text() + "-2", .boot_id = "boot", .uid_range = 3, .kept = kept};
}

}  // namespace

TEST_CASE("an entry that fits is taken over, also as it was read from the journal") {
  auto entry = good_entry();
  CHECK(check_entry(entry, "boot"));
  auto read = JournalEntry::decode(entry.name, entry.encode());
  REQUIRE(read);
  CHECK(check_entry(*read, "boot"));
}

TEST_CASE("an entry that does not fit in one point is not") {
  const std::function<void(JournalEntry&)> changes[] = {
      [](JournalEntry& e) { e.boot_id = "another"; },
      [](JournalEntry& e) { e.kept.reset(); },
      [](JournalEntry& e) { e.kept->set_state(v1::INSTANCE_STATE_EXITED); },
      [](JournalEntry& e) { e.kept->set_state(v1::INSTANCE_STATE_STARTING); },
      [](JournalEntry& e) { e.name = AgentId::random().text() + "-2"; },
      [](JournalEntry& e) { e.kept->mutable_request()->set_generation(3); },
      [](JournalEntry& e) { e.kept->mutable_request()->set_agent_id("../../etc"); },
      [](JournalEntry& e) { e.kept->mutable_request()->clear_limits(); },
      [](JournalEntry& e) { e.kept->mutable_reply()->set_uid_base(0); },
      [](JournalEntry& e) { e.kept->set_uid_range(UidRanges::kCount); },
  };
  for (const auto& change : changes) {
    auto entry = good_entry();
    change(entry);
    CHECK_FALSE(check_entry(entry, "boot"));
  }
}

TEST_CASE("descriptors of a run that is over are not read from the journal") {
  auto entry = good_entry();
  entry.kept->mutable_descriptors()->set_worker(5);
  auto read = JournalEntry::decode(entry.name, entry.encode());
  REQUIRE(read);
  CHECK_FALSE(read->kept->has_descriptors());
}
