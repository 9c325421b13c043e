#include "supervisor/root/journal.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;

namespace {

struct RunDir {
  RunDir() {
    char pattern[] = "/tmp/flodea-root-XXXXXX";
    path = ::mkdtemp(pattern);
    fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~RunDir() { std::filesystem::remove_all(path); }
  std::string path;
  UniqueFd fd;
};

}  // namespace

TEST_CASE("what is recorded is found by the next life, and gone once erased") {
  RunDir dir;
  auto journal = Journal::open(dir.fd.get());
  REQUIRE(journal);
  REQUIRE(journal->record({.name = "abc-1", .boot_id = "boot", .uid_range = 17}));
  auto next = Journal::open(dir.fd.get());
  auto entries = next->entries();
  REQUIRE(entries);
  REQUIRE(entries->size() == 1);
  CHECK(entries->front().name == "abc-1");
  CHECK(entries->front().boot_id == "boot");
  CHECK(entries->front().uid_range == 17);
  REQUIRE(next->erase("abc-1"));
  REQUIRE(next->erase("abc-1"));
  CHECK(next->entries()->empty());
}

TEST_CASE("an entry whose writer was killed is dropped") {
  RunDir dir;
  auto journal = Journal::open(dir.fd.get());
  for (const char* text : {"", "boot", "boot 17", "boot x\n", "boot 99999999999\n"}) {
    std::ofstream(dir.path + "/journal/abc-1") << text;
    auto entries = journal->entries();
    REQUIRE(entries);
    CHECK(entries->empty());
    CHECK_FALSE(std::filesystem::exists(dir.path + "/journal/abc-1"));
  }
}

TEST_CASE("an entry of an agent that runs replaces the one before it as a whole") {
  RunDir dir;
  auto journal = Journal::open(dir.fd.get());
  REQUIRE(journal->record({.name = "abc-1", .boot_id = "boot", .uid_range = 17, .kept = {}}));
  v1::KeptInstance kept;
  kept.set_boot_id("boot");
  kept.set_uid_range(17);
  kept.mutable_request()->set_agent_id("abc");
  REQUIRE(journal->record({.name = "abc-1", .boot_id = "boot", .uid_range = 17, .kept = kept}));
  auto entries = journal->entries();
  REQUIRE(entries);
  REQUIRE(entries->size() == 1);
  REQUIRE(entries->front().kept);
  CHECK(entries->front().kept->request().agent_id() == "abc");
  CHECK(entries->front().uid_range == 17);
  std::string bytes = kept.SerializeAsString();
  std::ofstream(dir.path + "/journal/abc-1") << bytes.substr(0, bytes.size() - 1);
  CHECK(journal->entries()->empty());
}

TEST_CASE("the epoch of the last control is kept, and is no entry") {
  RunDir dir;
  auto journal = Journal::open(dir.fd.get());
  CHECK(*journal->epoch() == 0);
  REQUIRE(journal->record_epoch(41));
  CHECK(*Journal::open(dir.fd.get())->epoch() == 41);
  CHECK(journal->entries()->empty());
  std::ofstream(dir.path + "/journal/.epoch") << "x\n";
  auto garbled = journal->epoch();
  REQUIRE_FALSE(garbled);
  CHECK_FALSE(garbled.error().remedy.empty());
}
