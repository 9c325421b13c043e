#include "base/number.h"

#include <cstdint>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

TEST_CASE("a number is the whole text, within its type's range") {
  CHECK(parse_number<int>("-12") == -12);
  CHECK(parse_number<std::uint64_t>("18446744073709551615") == UINT64_MAX);
  CHECK(parse_number<std::uint16_t>("007") == 7);
  for (const char* wrong : {"", " 1", "1 ", "+1", "0x10", "1.0", "1e3", "-", "--1", "ten"})
    CHECK_FALSE(parse_number<int>(wrong));
  CHECK_FALSE(parse_number<std::uint64_t>("-1"));
  CHECK_FALSE(parse_number<std::uint64_t>("18446744073709551616"));
  CHECK_FALSE(parse_number<std::int64_t>("9223372036854775808"));
  CHECK_FALSE(parse_number<std::uint16_t>("65536"));
  CHECK_FALSE(parse_number<int>(std::string_view("1\0", 2)));
}

TEST_CASE("what is wrong with a number of an option") {
  CHECK(check_number<int>("3").empty());
  CHECK(check_number<std::uint64_t>("-1") == "\"-1\" is no whole number, or out of range");
}
