#include "base/sha256.h"

#include <sodium/utils.h>

namespace flodea {

Sha256::Sha256() { ::crypto_hash_sha256_init(&state_); }

void Sha256::update(std::string_view data) {
  ::crypto_hash_sha256_update(&state_, reinterpret_cast<const unsigned char*>(data.data()),
                              data.size());
}

std::string Sha256::finish() {
  unsigned char digest[crypto_hash_sha256_BYTES];
  ::crypto_hash_sha256_final(&state_, digest);
  char hex[sizeof digest * 2 + 1];
  return ::sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
}

std::string sha256_hex(std::string_view data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

}  // namespace flodea
