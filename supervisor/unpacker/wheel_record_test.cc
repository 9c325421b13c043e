#include "supervisor/unpacker/wheel_record.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::unpacker {
namespace {

constexpr const char* kName = "a-1.dist-info/RECORD";
// Of nothing.
const std::string kHash = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

TEST_CASE("RECORD gives a hash for each file") {
  auto record = parse_wheel_record(kName, "a/__init__.py," + kHash +
                                              ",0\r\n\"with, \"\"comma\"\"\"," + kHash +
                                              ",0\na-1.dist-info/RECORD,,\n"
                                              "a-1.dist-info/RECORD.jws,,\n");
  REQUIRE(record);
  CHECK(record->size() == 4);
  CHECK(record->at("a/__init__.py") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(record->contains("with, \"comma\""));
  CHECK(record->at(kName).empty());
}

TEST_CASE("a RECORD that leaves anything open is refused") {
  for (const std::string& text :
       {std::string("a.py,,\n"), std::string("a.py,md5=abc,0\n"), "a.py," + kHash + "\n",
        "a.py," + kHash + ",0,1\n", "a.py," + kHash + "=,0\n",
        "a.py," + kHash.substr(0, 30) + ",0\n", "a.py," + kHash + ",0\na.py," + kHash + ",0\n"}) {
    INFO(text);
    CHECK_FALSE(parse_wheel_record(kName, text));
  }
}

}  // namespace
}  // namespace flodea::unpacker
