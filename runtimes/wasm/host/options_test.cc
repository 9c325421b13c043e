#include "runtimes/wasm/host/options.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::wasm;

TEST_CASE("the options end at the code file, and what follows is the module's") {
  auto options = parse_options(
      {"--memory", "65536", "--tables", "7", "--name", "/app/x.wasm", "x.cwasm", "--y"});
  REQUIRE(options);
  CHECK(options->memory == 65536);
  CHECK(options->table == 7);
  CHECK(options->code == "x.cwasm");
  CHECK(options->arguments == std::vector<std::string>{"/app/x.wasm", "--y"});
}

TEST_CASE("without a name the module is called by its file") {
  CHECK(parse_options({"--memory", "1", "x.cwasm"})->arguments ==
        std::vector<std::string>{"x.cwasm"});
}

TEST_CASE("a wrong command line is refused") {
  CHECK_FALSE(parse_options({}));
  CHECK_FALSE(parse_options({"x.cwasm"}));
  CHECK_FALSE(parse_options({"--memory"}));
  CHECK_FALSE(parse_options({"--memory", "1"}));
  CHECK_FALSE(parse_options({"--memory", "64M", "x"}));
  CHECK_FALSE(parse_options({"--memory", "-1", "x"}));
  CHECK_FALSE(parse_options({"--memory", "1", "--fast", "x"}));
}
