#include "base/arguments.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

namespace {

struct Parsed {
  std::string level = "info";
  std::optional<std::string> metrics;
  std::uint64_t epoch = 0;
  bool check = false;
  std::optional<int> exit;
};

template <std::size_t N>
Parsed parse(const char* const (&argv)[N]) {
  Parsed parsed;
  Arguments arguments("program", "About it.");
  arguments.text("--level", parsed.level, "a text with a default");
  arguments.text("--metrics", parsed.metrics, "a text without one");
  arguments.number("--epoch", parsed.epoch, "a number");
  arguments.flag("--check", parsed.check, "a flag");
  parsed.exit = arguments.parse(static_cast<int>(N), argv);
  return parsed;
}

}  // namespace

TEST_CASE("what is given is set, and the rest stays as it was") {
  Parsed none = parse({"program"});
  CHECK_FALSE(none.exit);
  CHECK(none.level == "info");
  CHECK_FALSE(none.metrics);
  Parsed all = parse({"program", "--level", "debug", "--metrics", "", "--epoch",
                      "18446744073709551615", "--check"});
  CHECK_FALSE(all.exit);
  CHECK(all.level == "debug");
  CHECK(all.metrics == "");
  CHECK(all.epoch == UINT64_MAX);
  CHECK(all.check);
}

TEST_CASE("help and version end well, wrong arguments with 2") {
  CHECK(parse({"program", "--help"}).exit == 0);
  CHECK(parse({"program", "--version"}).exit == 0);
  CHECK(parse({"program", "--levle", "debug"}).exit == 2);
  CHECK(parse({"program", "stray"}).exit == 2);
  CHECK(parse({"program", "--level"}).exit == 2);
  CHECK(parse({"program", "--epoch", "-1"}).exit == 2);
  CHECK(parse({"program", "--epoch", "18446744073709551616"}).exit == 2);
  CHECK(parse({"program", "--epoch", "1", "--epoch", "2"}).exit == 2);
}
