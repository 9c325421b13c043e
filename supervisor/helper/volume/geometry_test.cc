#include "supervisor/helper/volume/geometry.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::volume {

TEST_CASE("a device is larger than what is usable, in whole blocks, and not wastefully") {
  for (std::uint64_t usable = kMinUsableBytes; usable <= 1ull << 40; usable = usable * 5 / 3) {
    Geometry geometry = geometry_for(usable);
    CAPTURE(usable, geometry.device_bytes);
    CHECK(geometry.device_bytes % kBlockBytes == 0);
    CHECK(geometry.device_bytes > usable);
    CHECK(geometry.device_bytes < usable + usable / 10 + (24ull << 20));
  }
}

TEST_CASE("less than the smallest volume is the smallest volume") {
  CHECK(device_size_for(1) == device_size_for(kMinUsableBytes));
}

TEST_CASE("more usable space never gives a smaller device") {
  std::uint64_t last = 0;
  for (std::uint64_t usable = kMinUsableBytes; usable < 2ull << 30; usable += 3 << 20) {
    CHECK(device_size_for(usable) >= last);
    last = device_size_for(usable);
  }
}

}  // namespace flodea::volume
