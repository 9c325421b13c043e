// HTTP/2 frames for tests: header bytes as RFC 9113 has them, payload of zeros.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace flodea::control::testing {

inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRstStream = 3, kSettings = 4,
                              kPushPromise = 5, kPing = 6, kWindowUpdate = 8, kContinuation = 9;
inline constexpr std::uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;

inline std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string big_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(value >> shift));
  }
  return text;
}
inline std::string header(std::uint32_t length, std::uint8_t type, std::uint8_t flags,
                          std::uint32_t stream) {
  return big_endian(length, 3) + static_cast<char>(type) + static_cast<char>(flags) +
         big_endian(stream, 4);
}
inline std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                         const std::string& payload) {
  return header(static_cast<std::uint32_t>(payload.size()), type, flags, stream) + payload;
}
inline std::string zeros(std::uint32_t n) { return std::string(n, '\0'); }
inline std::string headers(std::uint32_t stream, std::uint8_t flags = kEndHeaders,
                           std::uint32_t n = 10) {
  return frame(kHeaders, flags, stream, zeros(n));
}
inline std::string continuation(std::uint32_t stream, std::uint32_t n, std::uint8_t flags = 0) {
  return frame(kContinuation, flags, stream, zeros(n));
}
inline std::string data(std::uint32_t stream, std::uint32_t n, std::uint8_t flags = 0) {
  return frame(kData, flags, stream, zeros(n));
}
inline std::string reset(std::uint32_t stream) {
  return frame(kRstStream, 0, stream, big_endian(8, 4));
}
inline std::string settings(std::uint8_t flags = 0) { return frame(kSettings, flags, 0, ""); }
inline std::string ping(std::uint8_t flags = 0) { return frame(kPing, flags, 0, zeros(8)); }
inline std::string window_update(std::uint32_t stream, std::uint32_t increment) {
  return frame(kWindowUpdate, 0, stream, big_endian(increment, 4));
}

}  // namespace flodea::control::testing
