#include "supervisor/unpacker/javascript_lock.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace flodea::unpacker {
namespace {

using Catch::Matchers::ContainsSubstring;

const std::string kSha512 = "sha512-" + std::string(86, 'A') + "==";
const std::string kIntegrity = "\"integrity\": \"" + kSha512 + "\"";

Result<std::vector<LockedPackage>> parse(const std::string& packages, int version = 3) {
  return parse_javascript_lock("package-lock.json",
                               "{\n\"lockfileVersion\": " + std::to_string(version) +
                                   ",\n\"packages\": {\n\"\": {},\n" + packages + "\n}}\n");
}

std::string refusal(const std::string& packages) {
  auto lock = parse(packages);
  REQUIRE_FALSE(lock);
  return lock.error().describe();
}

TEST_CASE("each locked package has a path, a tarball and its hash") {
  auto lock = parse(
      "\"node_modules/b\": {\"version\": \"2.0.0-rc.1\", \"integrity\": \"sha1-AAAA " + kSha512 +
          "\"},\n"
          "\"node_modules/@scope/a\": {\"version\": \"1.0.0\", " +
          kIntegrity +
          "},\n"
          "\"node_modules/@scope/a/node_modules/b\": {\"version\": \"1.5.0\", " +
          kIntegrity +
          "},\n"
          "\"node_modules/c\": {\"name\": \"@real/name\", \"version\": \"1.0.0\", " +
          kIntegrity +
          "},\n"
          "\"node_modules/d\": {\"version\": \"1.0.0\", \"resolved\": \"file:vendor/d.tgz\", " +
          kIntegrity + "}",
      2);
  REQUIRE(lock);
  REQUIRE(lock->size() == 5);
  CHECK((*lock)[0].path == "node_modules/@scope/a");
  CHECK((*lock)[0].tarball == "tarballs/scope-a-1.0.0.tgz");
  CHECK((*lock)[0].line == 6);
  CHECK((*lock)[1].tarball == "tarballs/b-1.5.0.tgz");
  CHECK((*lock)[2].tarball == "tarballs/b-2.0.0-rc.1.tgz");
  CHECK((*lock)[2].sha512 == std::vector<std::string>{std::string(128, '0')});
  CHECK((*lock)[2].line == 5);
  CHECK((*lock)[3].tarball == "tarballs/real-name-1.0.0.tgz");
  CHECK((*lock)[4].tarball == "vendor/d.tgz");
}

TEST_CASE("what an agent does not need is left out") {
  std::string kept =
      "\"node_modules/k\": {\"version\": \"1.0.0\", \"os\": [\"linux\"], \"cpu\": [\"!ia32\"], " +
      kIntegrity + "}";
  for (const char* extra :
       {"\"dev\": true", "\"inBundle\": true", "\"extraneous\": true",
        "\"optional\": true, \"os\": [\"darwin\"]", "\"optional\": true, \"os\": [\"!linux\"]",
        "\"optional\": true, \"cpu\": [\"s390x\"]", "\"optional\": true, \"libc\": [\"musl\"]",
        "\"devOptional\": true, \"os\": [\"win32\", \"darwin\"]"}) {
    INFO(extra);
    auto lock = parse(kept + ",\n\"node_modules/x\": {\"version\": \"1.0.0\", " + extra + "}");
    REQUIRE(lock);
    CHECK(lock->size() == 1);
  }
}

TEST_CASE("what cannot be unpacked is refused with its line") {
  struct Case {
    std::string packages;
    const char* says;
  };
  for (const auto& [packages, says] : {
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\"}",
                ":5: node_modules/a has no integrity"},
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\", \"integrity\": \"sha1-AAAA\"}",
                "without sha512"},
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\", \"integrity\": \"sha512-AAAA\"}",
                "is no sha512"},
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"git+ssh://x\"}",
                "comes from git"},
           Case{"\"node_modules/a\": {\"resolved\": \"packages/a\", \"link\": true}", "is a link"},
           Case{"\"packages/a\": {\"version\": \"1.0.0\"}", "outside node_modules"},
           Case{"\"node_modules/../../etc\": {\"version\": \"1.0.0\", " + kIntegrity + "}",
                "outside"},
           Case{"\"node_modules/..\": {\"version\": \"1.0.0\", " + kIntegrity + "}", "outside"},
           Case{"\"node_modules/.bin/a\": {\"version\": \"1.0.0\", " + kIntegrity + "}", "outside"},
           Case{"\"node_modules/a/b\": {\"version\": \"1.0.0\", " + kIntegrity + "}", "outside"},
           Case{"\"node_modules/a\": {\"version\": \"../1\", " + kIntegrity + "}", "no version"},
           Case{"\"node_modules/a\": {" + kIntegrity + "}", "no version"},
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"file:../a.tgz\", " +
                    kIntegrity + "}",
                "no file of the bundle"},
           Case{"\"node_modules/a\": {\"version\": \"1.0.0\", \"os\": [\"win32\"], " + kIntegrity +
                    "}",
                "is not for linux"},
           Case{"\"node_modules/a\": 1", "is no object"},
           Case{"\"node_modules/a\": {\"dev\": true}", "names no package"},
       }) {
    INFO(packages);
    CHECK_THAT(refusal(packages), ContainsSubstring("package-lock.json"));
    CHECK_THAT(refusal(packages), ContainsSubstring(says));
  }
}

TEST_CASE("a lock of npm 6, or what is none, is refused") {
  CHECK_FALSE(parse("\"node_modules/a\": {\"version\": \"1.0.0\", " + kIntegrity + "}", 1));
  for (const char* text :
       {"", "[]", "{}", "{\"lockfileVersion\": 3}", "{\"lockfileVersion\": \"3\"}",
        "{\"lockfileVersion\": 3, \"packages\": []}", "1e999999", "{\"lockfileVersion\": 3e999}"})
    CHECK_FALSE(parse_javascript_lock("package-lock.json", text));
  auto torn = parse_javascript_lock("package-lock.json", "{\n\"a\": 1,\n,}");
  REQUIRE_FALSE(torn);
  CHECK_THAT(torn.error().message, ContainsSubstring("package-lock.json:3: is no JSON"));
}

}  // namespace
}  // namespace flodea::unpacker
