// Key material in memory that is locked, kept out of core dumps, guarded on both sides, and wiped
// when freed (sodium_malloc(3)). Each costs one page and three mappings: for the few keys in use,
// not for a key per request.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/result.h"

namespace flodea::vault {

// libsodium must be initialised once before any of its calls.
Status init_crypto();

template <std::size_t N>
class Secret {
 public:
  static constexpr std::size_t kSize = N;
  static Result<Secret> zeroed();
  static Result<Secret> random();

  std::span<std::byte, N> bytes() { return std::span<std::byte, N>(data_.get(), N); }
  std::span<const std::byte, N> bytes() const {
    return std::span<const std::byte, N>(data_.get(), N);
  }
  unsigned char* raw() { return reinterpret_cast<unsigned char*>(data_.get()); }
  const unsigned char* raw() const { return reinterpret_cast<const unsigned char*>(data_.get()); }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  explicit Secret(std::byte* data) : data_(data) {}
  std::unique_ptr<std::byte, Free> data_;
};

using NodeKey = Secret<32>;
using VolumeKey = Secret<64>;  // two AES-256 keys, as XTS takes them
using LogKey = Secret<32>;

}  // namespace flodea::vault
