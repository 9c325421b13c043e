#include "supervisor/unpacker/hashes.h"

#include <sodium/utils.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "base/sha256.h"

namespace flodea::unpacker {
namespace {

std::string hex_of(const unsigned char* bytes, std::size_t size) {
  std::string hex(size * 2 + 1, '\0');
  ::sodium_bin2hex(hex.data(), hex.size(), bytes, size);
  hex.pop_back();
  return hex;
}

std::optional<std::string> decode(std::string_view text, std::size_t bytes, int variant) {
  std::vector<unsigned char> out(bytes);
  std::size_t length = 0;
  const char* end = nullptr;
  if (::sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &length, &end,
                          variant) != 0)
    return std::nullopt;
  if (length != bytes || end != text.data() + text.size()) return std::nullopt;
  return hex_of(out.data(), out.size());
}

template <class Hash>
Result<std::string> hash_file(int fd) {
  Hash hash;
  std::array<char, 64 << 10> piece;
  for (;;) {
    ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read");
    if (n == 0) break;
    hash.update({piece.data(), static_cast<std::size_t>(n)});
  }
  if (::lseek(fd, 0, SEEK_SET) != 0) return fail_errno("seek");
  return hash.finish();
}

}  // namespace

Sha512::Sha512() { ::crypto_hash_sha512_init(&state_); }

void Sha512::update(std::string_view data) {
  ::crypto_hash_sha512_update(&state_, reinterpret_cast<const unsigned char*>(data.data()),
                              data.size());
}

std::string Sha512::finish() {
  unsigned char digest[crypto_hash_sha512_BYTES];
  ::crypto_hash_sha512_final(&state_, digest);
  return hex_of(digest, sizeof digest);
}

std::optional<std::string> hex_of_base64(std::string_view text, std::size_t bytes) {
  return decode(text, bytes, sodium_base64_VARIANT_ORIGINAL);
}
std::optional<std::string> hex_of_base64url(std::string_view text, std::size_t bytes) {
  return decode(text, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

Result<std::string> file_sha256(int fd) { return hash_file<Sha256>(fd); }
Result<std::string> file_sha512(int fd) { return hash_file<Sha512>(fd); }

}  // namespace flodea::unpacker
