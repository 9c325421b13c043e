#include "supervisor/unpacker/wheel_name.h"

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>

namespace flodea::unpacker {
namespace {

Interpreter debian_12() {
  return {.minor = 11, .full_version = "3.11.2", .glibc_minor = 36, .machine = "x86_64"};
}

std::optional<unsigned> rank(const std::string& tags) {
  auto wheel = WheelName::parse("a-1-" + tags + ".whl");
  REQUIRE(wheel);
  return wheel_rank(*wheel, debian_12());
}

TEST_CASE("a wheel's name has five parts or six") {
  auto wheel = WheelName::parse("Foo_bar-1.0.post1-2build-py2.py3-none-any.whl");
  REQUIRE(wheel);
  CHECK(wheel->distribution == "Foo_bar");
  CHECK(wheel->version_text == "1.0.post1");
  CHECK(wheel->pythons == std::vector<std::string>{"py2", "py3"});
  CHECK(wheel->tags() == "py2.py3-none-any");
  for (const char* name : {"a.tar.gz", "a-1-py3-none.whl", "a-1-2-3-py3-none-any.whl",
                           "a-x-py3-none-any.whl", "-1-py3-none-any.whl", ".whl"})
    CHECK_FALSE(WheelName::parse(name));
}

TEST_CASE("wheels fit by Python, ABI and platform") {
  for (const char* tags :
       {"py3-none-any", "py2.py3-none-any", "py311-none-any", "py37-none-any", "cp311-none-any",
        "cp311-cp311-linux_x86_64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp37-abi3-manylinux_2_28_x86_64", "cp311-abi3-manylinux1_x86_64",
        "py3-none-manylinux2010_x86_64", "cp311-cp311-manylinux_2_36_x86_64"}) {
    INFO(tags);
    CHECK(rank(tags));
  }
  for (const char* tags :
       {"py2-none-any", "py312-none-any", "cp310-cp310-manylinux_2_17_x86_64", "cp312-abi3-any",
        "cp310-none-any", "cp311-cp311d-linux_x86_64", "cp311-cp311-manylinux_2_37_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64", "cp311-cp311-musllinux_1_1_x86_64",
        "cp311-cp311-win_amd64", "cp311-cp311-macosx_11_0_arm64", "pp39-pypy39_pp73-linux_x86_64",
        "cp311-cp311-manylinux_2__x86_64", "cp31x-abi3-any"}) {
    INFO(tags);
    CHECK_FALSE(rank(tags));
  }
}

TEST_CASE("the closest fit comes first") {
  constexpr const char* kOrder[] = {"cp311-cp311-manylinux_2_35_x86_64",
                                    "cp311-cp311-manylinux_2_17_x86_64",
                                    "cp311-cp311-linux_x86_64",
                                    "cp311-abi3-manylinux_2_17_x86_64",
                                    "cp311-none-any",
                                    "cp39-abi3-manylinux_2_17_x86_64",
                                    "py311-none-any",
                                    "py3-none-any"};
  for (std::size_t i = 1; i < std::size(kOrder); ++i) {
    INFO(kOrder[i - 1] << " before " << kOrder[i]);
    CHECK(rank(kOrder[i - 1]) < rank(kOrder[i]));
  }
}

}  // namespace
}  // namespace flodea::unpacker
