#include "supervisor/unpacker/layer.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace flodea::unpacker {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Recorder final : LayerSink {
  std::string log;
  Status file(const std::string& path, bool executable) override {
    log += (executable ? "<!" : "<") + path + ">";
    return {};
  }
  Status data(std::string_view piece) override {
    log += piece;
    return {};
  }
};

struct Bench {
  Recorder sink;
  Layer layer;
  explicit Bench(const BundleLimits& limits = kPackageLimits) : layer(sink, limits) {}

  Status add(const std::string& path, std::string_view text, const std::string& archive = "a.whl") {
    TRY(layer.begin(path, false, archive));
    TRY(layer.append(text));
    TRY(layer.end());
    return {};
  }
};

TEST_CASE("files go on with their data") {
  Bench bench;
  REQUIRE(bench.add("m/a", "one"));
  REQUIRE(bench.layer.begin("m/b", true, "a.whl"));
  CHECK(bench.layer.end() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(bench.sink.log == "<m/a>one<!m/b>");
}

TEST_CASE("the same file twice is one file; another in its place is refused") {
  Bench bench;
  REQUIRE(bench.add("m/a", "one"));
  REQUIRE(bench.add("m/a", "one", "b.whl"));
  CHECK(bench.sink.log == "<m/a>one");
  auto other = bench.add("m/a", "two", "b.whl");
  REQUIRE_FALSE(other);
  CHECK_THAT(other.error().message, ContainsSubstring("a.whl and b.whl both bring m/a"));
  CHECK_FALSE(bench.add("m/a/b", "x"));
  CHECK_FALSE(bench.add("m", "x"));
  CHECK(bench.sink.log == "<m/a>one");
}

TEST_CASE("a path that leaves the layer is refused") {
  Bench bench;
  for (const char* path : {"../x", "/x", "a/../../x", "a//b", "", "a/", "a/./b", "a\nb"})
    CHECK_FALSE(bench.add(path, "x"));
  CHECK(bench.sink.log.empty());
}

TEST_CASE("bytes and entries have bounds, kept or not") {
  Bench bench({.bytes = 10, .entries = 4});
  REQUIRE(bench.add("a", "12345"));
  REQUIRE(bench.add("a", "12345"));
  auto bomb = bench.add("b", "1");
  REQUIRE_FALSE(bomb);
  CHECK_THAT(bomb.error().message, ContainsSubstring("a.whl: the packages expand to more than 10"));

  Bench many({.bytes = 10, .entries = 4});
  for (int i = 0; i < 4; ++i) REQUIRE(many.layer.count_entry("a.whl"));
  CHECK_FALSE(many.layer.count_entry("a.whl"));
  REQUIRE(many.add("x/y/z", ""));  // two directories and a file
  CHECK(many.add("x/y/w", ""));
  CHECK_FALSE(many.add("x/y/v", ""));
}

}  // namespace
}  // namespace flodea::unpacker
