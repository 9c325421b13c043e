#include "base/sha256.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {

TEST_CASE("the digests of FIPS 180-4, in one piece and in many") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  for (std::string_view piece : {"a", "", "bc"}) pieces.update(piece);
  CHECK(pieces.finish() == sha256_hex("abc"));
}

}  // namespace flodea
