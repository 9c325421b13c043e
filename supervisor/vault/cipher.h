// AES-256-XTS (IEEE 1619) over blocks of 4 KiB, tweak = block number, by OpenSSL. It hides content;
// it does not authenticate it.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "supervisor/vault/secret.h"

namespace flodea::vault {

inline constexpr std::size_t kBlockBytes = 4096;

// Keyed once; the expanded key lives in OpenSSL's heap (locked by mlockall, wiped when freed). One
// thread at a time.
class BlockCipher {
 public:
  static Result<BlockCipher> create(const VolumeKey& key);

  // In place; `data` is a whole number of blocks of which the first is number `block`.
  bool encrypt(std::span<std::byte> data, std::uint64_t block);
  // A block of zeros is one never written: it stays zeros.
  bool decrypt(std::span<std::byte> data, std::uint64_t block);

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { ::EVP_CIPHER_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;
  static Context keyed(const VolumeKey& key, int encrypt);
  BlockCipher(Context encrypt, Context decrypt)
      : encrypt_(std::move(encrypt)), decrypt_(std::move(decrypt)) {}

  Context encrypt_;
  Context decrypt_;
};

}  // namespace flodea::vault
