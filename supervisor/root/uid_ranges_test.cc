#include "supervisor/root/uid_ranges.h"

#include <filesystem>
#include <set>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;

namespace {

struct TempDir {
  TempDir() {
    char pattern[] = "/tmp/flodea-root-XXXXXX";
    path = std::string(::mkdtemp(pattern)) + "/lock";
  }
  ~TempDir() { std::filesystem::remove_all(std::filesystem::path(path).parent_path()); }
  std::string path;
};

UidRanges open_ranges(const TempDir& dir, const std::string& boot = "boot-1",
                      std::vector<SubordinateIds> taken = {}) {
  auto ranges = UidRanges::open(dir.path, boot, taken);
  REQUIRE(ranges);
  return std::move(*ranges);
}

}  // namespace

TEST_CASE("ranges are given round-robin, each once") {
  TempDir dir;
  auto ranges = open_ranges(dir);
  std::set<std::uint32_t> bases;
  for (std::uint32_t i = 0; i < UidRanges::kCount; ++i) {
    auto range = ranges.take();
    REQUIRE(range);
    CHECK(range->base >= UidRanges::kFirst);
    CHECK(std::uint64_t{range->base} + UidRange::kSize - 1 <= UidRanges::kLast);
    bases.insert(range->base);
  }
  CHECK(bases.size() == UidRanges::kCount);
  auto none = ranges.take();
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Code::kResourceExhausted);
}

TEST_CASE("a range that was given back is not the next one taken") {
  TempDir dir;
  auto ranges = open_ranges(dir);
  auto first = *ranges.take();
  REQUIRE(ranges.give(first));
  CHECK(ranges.take()->index == first.index + 1);
}

TEST_CASE("two supervisors of one host never share a range, even after one was killed") {
  TempDir dir;
  auto two = open_ranges(dir);
  std::uint32_t first =
      open_ranges(dir).take()->index;  // its table is closed at once, its range stays taken
  for (std::uint32_t i = 0; i < UidRanges::kCount - 1; ++i) CHECK(two.take()->index != first);
  CHECK_FALSE(two.take());
  REQUIRE(two.give_back(first));  // what its next life does from the journal
  CHECK(two.take()->index == first);
}

TEST_CASE("a boot clears the table") {
  TempDir dir;
  auto index = open_ranges(dir).take()->index;
  CHECK(open_ranges(dir, "boot-2").take()->index == index);
}

TEST_CASE("what /etc/subuid gives to others is never taken") {
  TempDir dir;
  auto taken =
      parse_subids("alice:100000:65536\nbob:1879048192:65536\n# broken\ncarol:1879200000:1\n");
  REQUIRE(taken.size() == 3);
  auto ranges = open_ranges(dir, "boot-1", taken);
  CHECK(ranges.usable() == UidRanges::kCount - 2);
  CHECK(ranges.take()->index == 1);  // 0 is bob's
  CHECK(ranges.take()->index == 3);  // 2 holds carol's
}
