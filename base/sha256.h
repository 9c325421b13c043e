// SHA-256 (FIPS 180-4), in lower-case hex. The library's own, flodea_sha256, links libsodium.
#pragma once

#include <sodium/crypto_hash_sha256.h>

#include <string>
#include <string_view>

namespace flodea {

class Sha256 {
 public:
  Sha256();
  void update(std::string_view data);
  // Of all that was given; the end: nothing may be added.
  std::string finish();

 private:
  crypto_hash_sha256_state state_;
};

std::string sha256_hex(std::string_view data);

}  // namespace flodea
