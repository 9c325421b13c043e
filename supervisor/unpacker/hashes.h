// Hashes as lock files and archives write them. All results are lower-case hex.
#pragma once

#include <sodium/crypto_hash_sha512.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::unpacker {

class Sha512 {
 public:
  Sha512();
  void update(std::string_view data);
  std::string finish();  // the end: nothing may be added

 private:
  crypto_hash_sha512_state state_;
};

// Of exactly `bytes` bytes: base64 with padding (npm's integrity), or URL-safe without (wheels').
std::optional<std::string> hex_of_base64(std::string_view text, std::size_t bytes);
std::optional<std::string> hex_of_base64url(std::string_view text, std::size_t bytes);

// Of a whole file, which is then at its beginning again.
Result<std::string> file_sha256(int fd);
Result<std::string> file_sha512(int fd);

}  // namespace flodea::unpacker
