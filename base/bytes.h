// Integers in byte strings, little-endian without padding: how Flodea's own formats (log frames,
// log segments) have them. Bounds are the caller's: it has checked the size.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>

namespace flodea {

static_assert(std::endian::native == std::endian::little, "formats are written as memory is");

template <std::integral T>
void append_integer(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

template <std::integral T>
T integer_at(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// From the front, which goes.
template <std::integral T>
T take_integer(std::string_view& bytes) {
  T value = integer_at<T>(bytes, 0);
  bytes.remove_prefix(sizeof value);
  return value;
}

}  // namespace flodea
