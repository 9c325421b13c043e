#include "supervisor/helper/volume/loop_identity.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::volume {

TEST_CASE("an identity survives being written down") {
  LoopIdentity identity{
      .number = 7, .backing_device = 65024, .backing_inode = 2, .label = "flodea-0123456789abcdef"};
  auto back = LoopIdentity::decode(identity.encode());
  REQUIRE(back);
  CHECK(*back == identity);
}

TEST_CASE("what is no identity is refused") {
  for (const char* text : {"", "7", "7:1", "7:1:2", "7:1:2:", "x:1:2:label", "-1:1:2:label",
                           "7:1:2", "99999999999:1:2:label"})
    CHECK_FALSE(LoopIdentity::decode(text));
}

}  // namespace flodea::volume
