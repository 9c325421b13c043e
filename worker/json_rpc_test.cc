#include "worker/json_rpc.h"

#include <catch2/catch_test_macros.hpp>

#include "worker/json_scanner.h"

namespace flodea::worker {

TEST_CASE("a whole request is taken apart") {
  auto request = parse_rpc_line(
      R"( {"jsonrpc":"2.0", "id":12, "method":"a.B/C", "params":{"x":[1,{"y":"}"}]}, "deadline_ms":50, "idempotency_key":"k-1"} )");
  REQUIRE(request.has_value());
  CHECK(request->id == "12");
  CHECK(request->method == "a.B/C");
  CHECK(request->params == R"({"x":[1,{"y":"}"}]})");
  CHECK(request->deadline_ms == 50);
  CHECK(request->idempotency_key == "k-1");
}

TEST_CASE("ids are integers or short plain strings, kept as they were written") {
  auto id_of = [](const std::string& token) {
    auto line = R"({"jsonrpc":"2.0","method":"m","id":)" + token + "}";
    auto request = parse_rpc_line(line);
    return request ? std::string(request->id) : "refused";
  };
  CHECK(id_of("0") == "0");
  CHECK(id_of("\"abc\"") == "\"abc\"");
  for (const char* bad : {"-1", "1.5", "1e3", "null", "true", "\"\"", "\"a\\n\"", "[1]",
                          "12345678901234567", "\"\xc3\xbc\""}) {
    CAPTURE(bad);
    CHECK(id_of(bad) == "refused");
  }
  CHECK(id_of("\"" + std::string(64, 'x') + "\"") != "refused");
  CHECK(id_of("\"" + std::string(65, 'x') + "\"") == "refused");
}

TEST_CASE("what is not JSON is a parse error, what is not a request is an invalid request") {
  auto code_of = [](std::string_view line) {
    auto request = parse_rpc_line(line);
    return request ? 0 : request.error().code;
  };
  for (const char* bad : {"",
                          "x",
                          "[]",
                          "{",
                          "{}x",
                          R"({"a"})",
                          R"({"a":})",
                          R"({"a":1,})",
                          R"({"a":01})",
                          R"({"a":"\q"})",
                          R"({"a":"\u12g4"})",
                          R"({"a":[1,]})",
                          R"({"a":[1 2]})",
                          R"({"a":{"b":1,}})",
                          R"({"a":{1:2}})",
                          R"({"a":tru})",
                          "{\"a\":\"\n\"}",
                          R"({"a":-})",
                          R"({"a":1.})",
                          R"({"a":]})",
                          R"({"\u0061":1})"}) {
    CAPTURE(bad);
    CHECK(code_of(bad) == kParseError);
  }
  for (const char* bad : {"{}", R"({"jsonrpc":"2.0"})", R"({"jsonrpc":"2.0","method":""})",
                          R"({"jsonrpc":"2.0","method":"m","params":[1]})",
                          R"({"jsonrpc":"2.0","method":"m","method":"n"})",
                          R"({"jsonrpc":"2.0","jsonrpc":"2.0","method":"m"})",
                          R"({"jsonrpc":"2.0","method":"m","extra":1})",
                          R"({"jsonrpc":"2.0","method":"m","deadline_ms":0})",
                          R"({"jsonrpc":"2.0","method":"m","deadline_ms":-1})",
                          R"({"jsonrpc":"2.0","method":"m","idempotency_key":""})"}) {
    CAPTURE(bad);
    CHECK(code_of(bad) == kInvalidRequest);
  }
}

TEST_CASE("an invalid request is answered under its id where that can be read") {
  auto request = parse_rpc_line(R"({"jsonrpc":"1.0","id":"x","method":"m"})");
  REQUIRE_FALSE(request.has_value());
  CHECK(request.error().id == "\"x\"");
}

TEST_CASE("nesting is followed to 64 levels and no further") {
  auto nested = [](int depth) {
    return R"({"jsonrpc":"2.0","method":"m","params":{"a":)" + std::string(depth, '[') +
           std::string(depth, ']') + "}}";
  };
  CHECK(parse_rpc_line(nested(JsonScanner::kMaxDepth - 1)).has_value());
  CHECK_FALSE(parse_rpc_line(nested(JsonScanner::kMaxDepth)).has_value());
  CHECK_FALSE(parse_rpc_line(nested(100'000)).has_value());
}

TEST_CASE("control notifications") {
  auto credit = parse_rpc_control(R"({"id":"a","n":16})");
  REQUIRE(credit.has_value());
  CHECK(credit->id == "\"a\"");
  CHECK(credit->n == 16);
  CHECK(parse_rpc_control(R"({"id":3})")->n == 0);
  for (const char* bad : {"", "{}", R"({"n":1})", R"({"id":1,"n":0})", R"({"id":1,"n":1,"n":2})",
                          R"({"id":1,"x":2})", R"({"id":1}x)"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_rpc_control(bad).has_value());
  }
}

TEST_CASE("answers are one line each, whatever their text") {
  std::string out;
  append_rpc_result("1", R"({"a":1})", out);
  append_rpc_error("", kParseError, "a \"b\"\n\x01\\", {}, out);
  append_rpc_error("2", -32005, "no", R"([{"@type":"t"}])", out);
  append_rpc_item("\"s\"", 3, "{}", out);
  CHECK(out ==
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":1}}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"a "
        "\\\"b\\\"\\u000a\\u0001\\\\\"}}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32005,\"message\":\"no\",\"data\":[{\"@"
        "type\":\"t\"}]}}\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"stream\",\"params\":{\"id\":\"s\",\"seq\":3,\"message\":"
        "{}}}\n");
}

}  // namespace flodea::worker
