// What crosses between a module and its host: its memory, as it says where, and the numbers that
// stand for errors. A module is a stranger's: every range is checked, no copy is longer than
// kLongestMessage.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <tl/expected.hpp>

namespace flodea::wasm {

inline constexpr std::size_t kLongestMessage = 1 << 20;  // bytes of a request, or of an answer

// Negative, with the numbers of WASI's errno (sdk/wasm/include/flodea.h explains each).
enum class GuestError : std::int32_t {
  kTooLong = -1,
  kBadHandle = -8,
  kFault = -21,
  kInvalid = -28,
  kStreamFailed = -29,
  kTooMany = -33,
  kNotConnected = -53,
  kClosed = -64,
  kTimedOut = -73,
};

template <class T>
using GuestResult = tl::expected<T, GuestError>;

inline tl::unexpected<GuestError> refuse(GuestError error) {
  return tl::unexpected<GuestError>(error);
}

// Borrowed, and valid until the module runs again.
struct GuestMemory {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;

  // The bytes at `at`, or nothing where they do not lie within the memory.
  std::optional<char*> range(std::uint32_t at, std::uint32_t length) const {
    if (at > size || length > size - at) return std::nullopt;
    return reinterpret_cast<char*>(data) + at;
  }
};

}  // namespace flodea::wasm
