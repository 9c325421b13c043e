#include "base/selector.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {
namespace {

const Selector::Labels kAgent{{"team", "treasury"}, {"tier", "gold"}, {"x/y", ""}};

bool matches(const std::string& text, const Selector::Labels& labels = kAgent) {
  INFO(text);
  auto selector = Selector::parse(text);
  REQUIRE(selector);
  return selector->matches(labels);
}

TEST_CASE("a selector holds where all its requirements do") {
  CHECK(matches("team=treasury"));
  CHECK(matches("team==treasury"));
  CHECK(matches(" team = treasury , tier != test "));
  CHECK(matches("team"));
  CHECK(matches("!old"));
  CHECK(matches("x/y="));
  CHECK(matches("x/y"));
  CHECK(matches("team in (a,treasury)"));
  CHECK(matches("team in(treasury),tier notin (test, silver)"));
  CHECK(matches("in=a", {{"in", "a"}}));
  CHECK_FALSE(matches("team=risk"));
  CHECK_FALSE(matches("team!=treasury"));
  CHECK_FALSE(matches("team=treasury,old"));
  CHECK_FALSE(matches("!team"));
  CHECK_FALSE(matches("team in (a,b)"));
  CHECK_FALSE(matches("team notin (treasury)"));
  CHECK_FALSE(matches("team="));
}

TEST_CASE("an unequal label may also be missing; an empty value is a value") {
  CHECK(matches("owner!=me"));
  CHECK(matches("owner notin (me)"));
  CHECK_FALSE(matches("owner=me"));
  CHECK_FALSE(matches("owner="));
  CHECK(matches("team in (,treasury)"));
}

TEST_CASE("nothing selects all, and says so") {
  for (const char* text : {"", "   "}) {
    auto selector = Selector::parse(text);
    REQUIRE(selector);
    CHECK(selector->selects_all());
    CHECK(selector->matches({}));
  }
  CHECK_FALSE(Selector::parse("a")->selects_all());
}

TEST_CASE("what is malformed is refused with its place") {
  auto refused = [](const std::string& text, const std::string& why) {
    INFO(text);
    auto selector = Selector::parse(text);
    REQUIRE_FALSE(selector);
    CHECK(selector.error().code == Code::kInvalidArgument);
    CHECK(selector.error().field == "selector");
    CHECK_FALSE(selector.error().remedy.empty());
    INFO(selector.error().message);
    CHECK(selector.error().message.find(why) != std::string::npos);
  };
  refused(",", "a label's key at character 1");
  refused("a,", "a label's key at character 3");
  refused("=b", "a label's key at character 1");
  refused("!", "a label's key at character 2");
  refused("a b", "=, !=, in or notin at character 4");
  refused("a!", "=, !=, in or notin at character 3");
  refused("a in b", "( at character 6");
  refused("a in (b", ") at character 8");
  refused("a=b c", "a comma at character 5");
  refused("!a=b", "a comma at character 3");
  refused("a=b/c", "a comma at character 4");
  refused("a=\xc3\xa4", "a comma at character 3");
  refused("a=b;c", "a comma");
  refused(std::string(64, 'a'), "more than 63 characters");
  refused("a=" + std::string(64, 'a'), "more than 63 characters");
  refused(std::string(5000, 'a'), "more than 4096 characters");
}

TEST_CASE("its size is bounded") {
  std::string many = "a", values = "a in (b";
  for (int i = 1; i < 32; ++i) many += ",a";
  CHECK(Selector::parse(many));
  CHECK_FALSE(Selector::parse(many + ",a"));
  for (int i = 1; i < 64; ++i) values += ",b";
  CHECK(Selector::parse(values + ")"));
  CHECK_FALSE(Selector::parse(values + ",b)"));
}

}  // namespace
}  // namespace flodea
