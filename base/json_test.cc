#include "base/json.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace flodea;

TEST_CASE("a text that is no JSON is refused, by a value or by an exception that says where") {
  CHECK(try_parse_json("{\"a\":").is_discarded());
  CHECK(try_parse_json("").is_discarded());
  CHECK(try_parse_json("{} x").is_discarded());
  CHECK(try_parse_json("{\"a\":[1]}")["a"][0] == 1);
  try {
    parse_json("{\"a\":\n!}");
    FAIL("parsed");
  } catch (const nlohmann::json::parse_error& error) {
    CHECK(error.byte == 7);
  }
  CHECK_THROWS_AS(parse_json("1e999"), nlohmann::json::out_of_range);
}

TEST_CASE("text that is no UTF-8 is written with U+FFFD, on one line, in the order it was put") {
  nlohmann::ordered_json value{{"z",
                                "\xff"
                                "a"},
                               {"b", "\n"}};
  CHECK(json_text(value) ==
        "{\"z\":\"\xEF\xBF\xBD"
        "a\",\"b\":\"\\n\"}");
  CHECK(json_text(nlohmann::json{{"z", 1}, {"b", 2}}) == "{\"b\":2,\"z\":1}");
}
