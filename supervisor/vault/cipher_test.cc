#include "supervisor/vault/cipher.h"

#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace flodea::vault {
namespace {

VolumeKey key_of(unsigned char seed) {
  REQUIRE(init_crypto());
  auto key = VolumeKey::zeroed();
  REQUIRE(key);
  for (std::size_t i = 0; i < VolumeKey::kSize; ++i)
    key->raw()[i] = static_cast<unsigned char>(seed + i);
  return std::move(*key);
}

std::vector<std::byte> blocks(std::size_t count, unsigned char fill) {
  return std::vector<std::byte>(count * kBlockBytes, std::byte{fill});
}

}  // namespace

TEST_CASE("what was encrypted comes back at the same block only") {
  auto cipher = BlockCipher::create(key_of(1));
  REQUIRE(cipher);
  auto data = blocks(3, 'x');
  REQUIRE(cipher->encrypt(data, 7));
  CHECK(data != blocks(3, 'x'));
  auto elsewhere = data;
  REQUIRE(cipher->decrypt(data, 7));
  CHECK(data == blocks(3, 'x'));
  REQUIRE(cipher->decrypt(elsewhere, 8));
  CHECK(elsewhere != blocks(3, 'x'));
}

TEST_CASE("equal blocks look different at different places") {
  auto cipher = BlockCipher::create(key_of(1));
  REQUIRE(cipher);
  auto data = blocks(2, 'x');
  REQUIRE(cipher->encrypt(data, 0));
  CHECK(std::memcmp(data.data(), data.data() + kBlockBytes, kBlockBytes) != 0);
}

TEST_CASE("another key gives noise") {
  auto one = BlockCipher::create(key_of(1));
  auto two = BlockCipher::create(key_of(2));
  REQUIRE((one && two));
  auto data = blocks(1, 'x');
  REQUIRE(one->encrypt(data, 0));
  REQUIRE(two->decrypt(data, 0));
  CHECK(data != blocks(1, 'x'));
}

TEST_CASE("a block that was never written reads as zeros, written zeros are encrypted") {
  auto cipher = BlockCipher::create(key_of(1));
  REQUIRE(cipher);
  auto data = blocks(1, 0);
  REQUIRE(cipher->decrypt(data, 5));
  CHECK(data == blocks(1, 0));
  REQUIRE(cipher->encrypt(data, 5));
  CHECK(data != blocks(1, 0));
  REQUIRE(cipher->decrypt(data, 5));
  CHECK(data == blocks(1, 0));
}

TEST_CASE(
    "the tweak is the little-endian block number, as every XTS implementation of dm-crypt's "
    "plain64 has it") {
  VolumeKey key = key_of(9);
  auto cipher = BlockCipher::create(key);
  REQUIRE(cipher);
  auto ours = blocks(1, 'q');
  REQUIRE(cipher->encrypt(ours, 0x0102030405060708));
  unsigned char tweak[16] = {8, 7, 6, 5, 4, 3, 2, 1};
  std::vector<unsigned char> theirs(kBlockBytes, 'q');
  EVP_CIPHER_CTX* context = ::EVP_CIPHER_CTX_new();
  int written = 0;
  REQUIRE(::EVP_EncryptInit_ex(context, ::EVP_aes_256_xts(), nullptr, key.raw(), tweak) == 1);
  REQUIRE(::EVP_EncryptUpdate(context, theirs.data(), &written, theirs.data(), kBlockBytes) == 1);
  ::EVP_CIPHER_CTX_free(context);
  CHECK(std::memcmp(ours.data(), theirs.data(), kBlockBytes) == 0);
}

}  // namespace flodea::vault
