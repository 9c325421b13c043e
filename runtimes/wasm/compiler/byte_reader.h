// Reads the binary format of WebAssembly modules that a stranger wrote: every read is bounded, and
// past the end or beyond a number's width is an error that says where. Borrows the bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace flodea::wasm {

class ByteReader {
 public:
  // `offset`: where `bytes` stands in the file, for messages.
  explicit ByteReader(std::string_view bytes, std::size_t offset = 0)
      : bytes_(bytes), offset_(offset) {}

  bool at_end() const { return at_ == bytes_.size(); }
  std::size_t offset() const { return offset_ + at_; }

  Result<std::uint8_t> byte();
  Result<std::uint32_t> u32();                // LEB128, at most 5 bytes
  Result<std::uint64_t> u64();                // LEB128, at most 10 bytes
  Result<std::string_view> name();            // a length and so many bytes
  Result<ByteReader> part(std::size_t size);  // the next `size` bytes

 private:
  Result<std::uint64_t> leb(int bits);
  tl::unexpected<Error> truncated() const;

  std::string_view bytes_;
  std::size_t offset_;
  std::size_t at_ = 0;
};

}  // namespace flodea::wasm
