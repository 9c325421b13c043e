#include "supervisor/unpacker/version.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::unpacker {
namespace {

Version of(std::string_view text) {
  auto version = Version::parse(text);
  REQUIRE(version);
  return *version;
}

TEST_CASE("versions are ordered as PEP 440 orders them") {
  constexpr const char* kOrder[] = {"0.9",    "1.dev0", "1.0a1.dev2", "1.0a1",
                                    "1.0b1",  "1.0rc1", "1",          "1.0.post1",
                                    "1.0.1",  "1.1",    "1.10",       "2.0.0.post3",
                                    "3.9.13", "3.11.2", "2023.3.1",   "1!0.0.1.dev9"};
  for (std::size_t i = 1; i < std::size(kOrder); ++i) {
    INFO(kOrder[i - 1] << " < " << kOrder[i]);
    CHECK(of(kOrder[i - 1]) < of(kOrder[i]));
  }
}

TEST_CASE("one version has many spellings") {
  CHECK(of("1.0") == of("1"));
  CHECK(of("V1.0-Alpha_2") == of("1.0a2"));
  CHECK(of("1.0-3") == of("1.0.post3"));
  CHECK(of("1.0.rev") == of("1.0.post0"));
  CHECK(of("1.0preview4") == of("1.0rc4"));
  CHECK(of("1.0c1") == of("1.0rc1"));
}

TEST_CASE("a local part binds only where it is asked for") {
  CHECK(of("1.0+cpu").satisfies(of("1.0")));
  CHECK(of("1.0+cpu").satisfies(of("1.0+CPU")));
  CHECK_FALSE(of("1.0").satisfies(of("1.0+cpu")));
  CHECK_FALSE(of("1.0+cpu.2").satisfies(of("1.0+cpu")));
  CHECK_FALSE(of("1.0.1").satisfies(of("1.0")));
}

TEST_CASE("what is no version is none") {
  for (const char* text : {"", "x", "1.", "1..2", "1.0+", "1.0+-a", "1.0 ", "1.0*", "1.0a1b2", "!1",
                           "1!", "1234567890123456789", "1.0+a..b", "1-"}) {
    INFO(text);
    CHECK_FALSE(Version::parse(text));
  }
  CHECK_FALSE(Version::parse(std::string(200, '1')));
}

}  // namespace
}  // namespace flodea::unpacker
