#include "supervisor/unpacker/marker.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::unpacker {
namespace {

Result<bool> holds(std::string_view marker, std::string_view python = "3.11.2") {
  return evaluate_marker(marker, *Interpreter::parse(python));
}

TEST_CASE("markers hold or not, as PEP 508 says") {
  struct Case {
    const char* marker;
    bool holds;
  };
  for (auto [marker, expected] : {
           Case{"python_version >= '3.9'", true},  // by version, not by text: "3.11" < "3.9"
           Case{"python_version < \"3.9\"", false},
           Case{"python_version >= \"3.9\" and python_version < \"4.0\"", true},
           Case{"python_version == '3.11'", true},
           Case{"python_version == '3.*'", true},
           Case{"python_version != '3.11.*'", false},
           Case{"python_version ~= '3.9'", true},
           Case{"python_full_version ~= '3.11.1'", true},
           Case{"python_full_version ~= '3.10.1'", false},
           Case{"python_full_version <= '3.11.1'", false},
           Case{"sys_platform == 'win32'", false},
           Case{"sys_platform != 'win32' and os_name=='posix'", true},
           Case{"sys_platform == 'win32' or platform_system == 'Linux'", true},
           Case{"sys_platform == 'win32' and os_name == 'posix' or python_version > '3'", true},
           Case{"sys_platform == 'win32' and (os_name == 'posix' or python_version > '3')", false},
           Case{"platform_python_implementation == 'CPython'", true},
           Case{"implementation_name in 'cpython pypy'", true},
           Case{"'pypy' not in implementation_name", true},
           Case{"'linux' in sys_platform", true},
           Case{"extra == 'tests'", false},
           Case{"((((os_name == 'posix'))))", true},
       }) {
    INFO(marker);
    auto value = holds(marker);
    REQUIRE(value);
    CHECK(*value == expected);
  }
}

TEST_CASE("a marker that cannot be answered is refused") {
  for (const char* marker :
       {"", "python_version", "python_version >=", "python_version >= '3", "os_name >= 'a'",
        "(os_name == 'posix'", "os_name == 'posix')", "os_name = 'posix'", "platform_release > '5'",
        "platform_version == 'x'", "weather == 'fine'", "os_name not 'x'", "python_version ~= '3'",
        "os_name ~= 'posix'", "os_name == 'posix' and", "andos_name == 'posix'"}) {
    INFO(marker);
    CHECK_FALSE(holds(marker));
  }
  std::string deep(40, '(');
  CHECK_FALSE(holds(deep + "os_name == 'posix'" + std::string(40, ')')));
}

TEST_CASE("a Python of two numbers does not know its third") {
  CHECK(*holds("python_version == '3.11'", "3.11"));
  CHECK_FALSE(holds("python_full_version == '3.11.2'", "3.11"));
  CHECK_FALSE(Interpreter::parse("2.7"));
  CHECK_FALSE(Interpreter::parse("3"));
  CHECK_FALSE(Interpreter::parse("python3"));
}

}  // namespace
}  // namespace flodea::unpacker
