#include "base/quantity.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {

TEST_CASE("bytes are read with binary and decimal suffixes") {
  CHECK(parse_bytes("64Mi").value() == 64ull << 20);
  CHECK(parse_bytes("1Gi").value() == 1ull << 30);
  CHECK(parse_bytes("5k").value() == 5000);
  CHECK(parse_bytes("4096").value() == 4096);
  for (const char* bad :
       {"", "Mi", "64mi", "64 Mi", "-1", "1.5Gi", "99999999999Ti", "0x10", "64Mi "}) {
    CAPTURE(bad);
    auto refused = parse_bytes(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::kInvalidArgument);
    CHECK_FALSE(refused.error().remedy.empty());
  }
}

TEST_CASE("durations need a unit and are bounded") {
  using namespace std::chrono_literals;
  CHECK(parse_duration("200ms").value() == 200ms);
  CHECK(parse_duration("1h30m").value() == 90min);
  CHECK(parse_duration("1.5s").value() == 1500ms);
  CHECK(parse_duration("0").value() == 0s);
  for (const char* bad : {"", "5", "s", "-1s", "1x", "1..5s", "1s 2s"}) {
    CAPTURE(bad);
    auto refused = parse_duration(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::kInvalidArgument);
  }
  CHECK(parse_duration("8784h").value() == 366 * 24h);
  for (const char* bad : {"8785h", "8784h1s", "9999999h"}) {
    CAPTURE(bad);
    auto refused = parse_duration(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::kOutOfRange);
    CHECK(refused.error().message.ends_with("is out of range, 0 to 8784h"));
  }
}

TEST_CASE("cpu is cores or millicores") {
  CHECK(parse_cpu_millis("0.5").value() == 500);
  CHECK(parse_cpu_millis("250m").value() == 250);
  CHECK(parse_cpu_millis("2").value() == 2000);
  CHECK(parse_cpu_millis("0").value() == 0);
  for (const char* bad : {"", "0.0001", "m", "1e3", "-1", "2000", "0.5m"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_cpu_millis(bad));
  }
}

TEST_CASE("what is formatted reads back as the same") {
  for (std::uint64_t bytes : {1ull, 1023ull, 64ull << 20, 3ull << 30})
    CHECK(parse_bytes(format_bytes(bytes)).value() == bytes);
  CHECK(format_bytes(1'500'000'000) == "1.4Gi");
  for (auto ns : {200'000'000ll, 5'000'000'000ll, 125'000'000'000ll})
    CHECK(parse_duration(format_duration(Nanos(ns))).value() == Nanos(ns));
  Nanos time = std::chrono::seconds(1'767'322'985) + Nanos(678'901'234);
  CHECK(format_rfc3339(time) == "2026-01-02T03:03:05.678901234Z");
  CHECK(parse_rfc3339(format_rfc3339(time)).value() == time);
  CHECK(parse_rfc3339("2026-01-02T04:03:05.678901234+01:00").value() == time);
  // What 64 bits of nanoseconds cannot hold is the nearest they can: 1684 and 2255.
  CHECK(parse_rfc3339("9999-12-31T23:59:59Z").value() == std::chrono::seconds(9'000'000'000));
  CHECK(parse_rfc3339("1600-01-01T00:00:00Z").value() == std::chrono::seconds(-9'000'000'000));
  for (const char* bad : {"", "yesterday", "2026-01-02", "2026-01-02T03:04:05",
                          "2026-13-02T03:04:05Z", "2026-01-02T03:04:05+99:00"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_rfc3339(bad));
  }
}

}  // namespace flodea
