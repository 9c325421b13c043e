#include "runtimes/wasm/compiler/byte_reader.h"

#include <fmt/format.h>

namespace flodea::wasm {

tl::unexpected<Error> ByteReader::truncated() const {
  return fail(Code::kInvalidArgument,
              fmt::format("the module ends early, or is damaged, at offset {}", offset()));
}

Result<std::uint8_t> ByteReader::byte() {
  if (at_end()) return truncated();
  return static_cast<std::uint8_t>(bytes_[at_++]);
}

Result<std::uint64_t> ByteReader::leb(int bits) {
  std::uint64_t value = 0;
  std::size_t begin = offset();
  for (int shift = 0; shift < bits; shift += 7) {
    std::uint64_t byte = TRY(this->byte());
    int room = bits - shift;
    if (room < 7 && (byte & 0x7f) >> room != 0) break;
    value |= (byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return fail(Code::kInvalidArgument,
              fmt::format("the number at offset {} has more than {} bits", begin, bits));
}

Result<std::uint32_t> ByteReader::u32() { return static_cast<std::uint32_t>(TRY(leb(32))); }
Result<std::uint64_t> ByteReader::u64() { return leb(64); }

Result<std::string_view> ByteReader::name() {
  std::size_t size = TRY(u32());
  if (size > bytes_.size() - at_) return truncated();
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

Result<ByteReader> ByteReader::part(std::size_t size) {
  if (size > bytes_.size() - at_) return truncated();
  ByteReader out(bytes_.substr(at_, size), offset());
  at_ += size;
  return out;
}

}  // namespace flodea::wasm
