#include "base/text.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {

TEST_CASE("a cleaned line has no control characters and no half of a character") {
  CHECK(clean_line("a\nb\r\x1b[2J\x7f", 100) == "a b  [2J ");
  CHECK(clean_line("\xc2\x9b"
                   "31m \xc2\xa0",
                   100) == "  31m \xc2\xa0");  // C1, and what is not
  CHECK(clean_line("12\xc3\xbc", 3) == "12");
  CHECK(clean_line("12\xc3\xbc", 4) == "12\xc3\xbc");
  CHECK(clean_line("1\xff"
                   "2",
                   100) ==
        "1\xef\xbf\xbd"
        "2");
  CHECK(is_utf8(clean_line(std::string(1000, '\xff'), 128)));
  CHECK(clean_line(std::string(1000, '\xff'), 128).size() <= 128);
}

}  // namespace flodea
