#include "supervisor/root/group_home.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;

namespace {

CgroupHierarchies at(const std::string& own) {
  CgroupHierarchies hierarchies;
  hierarchies.own = {own, own, "", own, own, "/"};
  return hierarchies;
}

}  // namespace

TEST_CASE(
    "where an earlier flodead's groups are is read as it was written, in the same boot only") {
  std::string text = encode_home(at("/a/b"), "boot");
  CgroupHierarchies here = at("/c");
  CHECK_FALSE(decode_home(text, "another boot", here));
  CHECK(here.own == at("/c").own);
  REQUIRE(decode_home(text, "boot", here));
  CHECK(here.own == at("/a/b").own);
}

TEST_CASE("what is cut off, too long or leaves the hierarchy is no home") {
  std::string text = encode_home(at("/a"), "boot");
  CgroupHierarchies here = at("/c");
  for (std::size_t length = 0; length < text.size(); ++length)
    CHECK_FALSE(decode_home(text.substr(0, length), "boot", here));
  CHECK_FALSE(decode_home(text + "/b\n", "boot", here));
  CHECK_FALSE(decode_home(encode_home(at("/a/../../b"), "boot"), "boot", here));
  CHECK_FALSE(decode_home(encode_home(at("a"), "boot"), "boot", here));
  CHECK(here.own == at("/c").own);
}
