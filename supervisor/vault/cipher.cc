#include "supervisor/vault/cipher.h"

#include <cstring>

namespace flodea::vault {
namespace {

bool one_block(EVP_CIPHER_CTX* context, std::byte* data, std::uint64_t number) {
  unsigned char tweak[16] = {};
  for (int i = 0; i < 8; ++i) tweak[i] = static_cast<unsigned char>(number >> (8 * i));
  auto* bytes = reinterpret_cast<unsigned char*>(data);
  int written = 0;
  return ::EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, tweak, -1) == 1 &&
         ::EVP_CipherUpdate(context, bytes, &written, bytes, kBlockBytes) == 1;
}

bool all_zero(const std::byte* block) {
  return block[0] == std::byte{0} && std::memcmp(block, block + 1, kBlockBytes - 1) == 0;
}

}  // namespace

BlockCipher::Context BlockCipher::keyed(const VolumeKey& key, int encrypt) {
  Context context(::EVP_CIPHER_CTX_new());
  if (!context || ::EVP_CipherInit_ex(context.get(), ::EVP_aes_256_xts(), nullptr, key.raw(),
                                      nullptr, encrypt) != 1)
    return nullptr;
  return context;
}

Result<BlockCipher> BlockCipher::create(const VolumeKey& key) {
  Context encrypt = keyed(key, 1);
  Context decrypt = keyed(key, 0);
  if (!encrypt || !decrypt) return fail(Code::kInternal, "OpenSSL refused AES-256-XTS");
  return BlockCipher(std::move(encrypt), std::move(decrypt));
}

bool BlockCipher::encrypt(std::span<std::byte> data, std::uint64_t block) {
  for (; !data.empty(); data = data.subspan(kBlockBytes), ++block)
    if (!one_block(encrypt_.get(), data.data(), block)) return false;
  return true;
}

bool BlockCipher::decrypt(std::span<std::byte> data, std::uint64_t block) {
  for (; !data.empty(); data = data.subspan(kBlockBytes), ++block)
    if (!all_zero(data.data()) && !one_block(decrypt_.get(), data.data(), block)) return false;
  return true;
}

}  // namespace flodea::vault
