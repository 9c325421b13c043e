#include "supervisor/control/monitoring/log_segment.h"

#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/number.h"

namespace flodea::control {
namespace {

constexpr std::string_view kMagic = "FLODLOG1";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kHeadBytes = 8 + 8 + 8 + 4 + 4;
constexpr std::size_t kPositionBytes = 16;
constexpr std::size_t kMaxPositions = 2;
constexpr std::size_t kRecordBytes = 1 + 1 + 2 + 8;
static_assert(kChunkPrefixBytes == 4 + kNonceBytes);

unsigned char* bytes_of(std::string& s, std::size_t at = 0) {
  return reinterpret_cast<unsigned char*>(s.data()) + at;
}
const unsigned char* bytes_of(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

std::string associated_data(std::string_view segment_header, std::uint64_t offset) {
  std::string data(segment_header);
  append_integer(data, offset);
  return data;
}

// All of `size`, or fewer bytes at the end of the file.
Result<std::size_t> read_at(int fd, char* into, std::size_t size, std::uint64_t offset) {
  std::size_t have = 0;
  while (have < size) {
    ssize_t n = ::pread(fd, into + have, size - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read log segment");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  return have;
}

bool possible_length(std::uint32_t length) {
  return length >= kTagBytes + kHeadBytes && length <= kMaxChunkBytes;
}

Result<ChunkHead> parse_head(std::string_view& in) {
  if (in.size() < kHeadBytes) return fail(Code::kDataLoss, "log chunk without a head");
  ChunkHead head;
  head.generation = Generation{take_integer<std::uint64_t>(in)};
  head.first_line = take_integer<std::uint64_t>(in);
  head.stored_ns = take_integer<std::int64_t>(in);
  head.lines = take_integer<std::uint32_t>(in);
  auto positions = take_integer<std::uint32_t>(in);
  if (positions > kMaxPositions || in.size() < positions * kPositionBytes) {
    return fail(Code::kDataLoss, "log chunk with impossible positions");
  }
  for (std::uint32_t i = 0; i < positions; ++i) {
    Generation generation{take_integer<std::uint64_t>(in)};
    head.positions.push_back({generation, take_integer<std::uint64_t>(in)});
  }
  return head;
}

Status parse_records(std::string_view in, Chunk& chunk) {
  chunk.records.reserve(std::min<std::size_t>(chunk.head.lines, in.size() / kRecordBytes));
  while (!in.empty()) {
    if (in.size() < kRecordBytes) return fail(Code::kDataLoss, "log chunk with a torn record");
    LogRecord record;
    record.stream = static_cast<LogStream>(take_integer<std::uint8_t>(in));
    record.flags = take_integer<std::uint8_t>(in);
    auto size = take_integer<std::uint16_t>(in);
    record.time_ns = take_integer<std::int64_t>(in);
    if (in.size() < size) return fail(Code::kDataLoss, "log chunk with a torn record");
    record.text = in.substr(0, size);
    in.remove_prefix(size);
    chunk.records.push_back(record);
  }
  if (chunk.records.size() != chunk.head.lines)
    return fail(Code::kDataLoss, "log chunk with a wrong count");
  return {};
}

}  // namespace

std::string segment_name(std::uint64_t number) { return fmt::format("{:08}.seg", number); }

std::optional<std::uint64_t> segment_number(std::string_view name) {
  if (name.size() < 12 || !name.ends_with(".seg")) return std::nullopt;
  auto number = parse_number<std::uint64_t>(name.substr(0, name.size() - 4));
  return number && segment_name(*number) == name ? number : std::nullopt;
}

std::string make_segment_header(const AgentId& agent, std::uint64_t number, Nanos created) {
  std::string header(kMagic);
  append_integer(header, kVersion);
  append_integer(header, std::uint32_t{0});
  header += agent.text();
  append_integer(header, number);
  append_integer(header, created.count());
  return header;
}

Status check_segment_header(std::string_view header, const AgentId& agent, std::uint64_t number) {
  if (header.size() != kSegmentHeaderBytes)
    return fail(Code::kDataLoss, "log segment without a header");
  // Creation is free; all before it is known.
  auto expected = make_segment_header(agent, number, Nanos::zero());
  constexpr std::size_t kKnown = kSegmentHeaderBytes - sizeof(std::int64_t);
  if (header.substr(0, kKnown) != std::string_view(expected).substr(0, kKnown)) {
    return fail(Code::kDataLoss, "not a log segment of this agent and number");
  }
  return {};
}

void begin_chunk(const ChunkHead& head, std::string& plain) {
  append_integer(plain, head.generation.value);
  append_integer(plain, head.first_line);
  append_integer(plain, head.stored_ns);
  append_integer(plain, head.lines);
  append_integer(plain, static_cast<std::uint32_t>(head.positions.size()));
  for (const LogPosition& position : head.positions) {
    append_integer(plain, position.generation.value);
    append_integer(plain, position.seq);
  }
}

void append_record(const LogRecord& record, std::string& plain) {
  append_integer(plain, static_cast<std::uint8_t>(record.stream));
  append_integer(plain, record.flags);
  append_integer(plain, static_cast<std::uint16_t>(record.text.size()));
  append_integer(plain, record.time_ns);
  plain += record.text;
}

std::string seal_chunk(std::string_view plain, const unsigned char* key,
                       std::string_view segment_header, std::uint64_t offset) {
  std::string sealed;
  sealed.reserve(kChunkPrefixBytes + plain.size() + kTagBytes);
  append_integer(sealed, static_cast<std::uint32_t>(plain.size() + kTagBytes));
  sealed.resize(kChunkPrefixBytes + plain.size() + kTagBytes);
  ::randombytes_buf(bytes_of(sealed, 4), kNonceBytes);
  auto ad = associated_data(segment_header, offset);
  ::crypto_aead_xchacha20poly1305_ietf_encrypt(
      bytes_of(sealed, kChunkPrefixBytes), nullptr, bytes_of(plain), plain.size(),
      bytes_of(std::string_view(ad)), ad.size(), nullptr, bytes_of(sealed, 4), key);
  return sealed;
}

Result<std::optional<std::uint64_t>> chunk_span(int fd, std::uint64_t offset,
                                                std::uint64_t file_size) {
  if (offset + 4 > file_size) return std::nullopt;
  std::uint32_t length = 0;
  auto n = TRY(read_at(fd, reinterpret_cast<char*>(&length), sizeof length, offset));
  if (n < sizeof length) return std::nullopt;
  if (!possible_length(length)) return fail(Code::kDataLoss, "log chunk with an impossible length");
  std::uint64_t span = kChunkPrefixBytes + length;
  if (offset + span > file_size) return std::nullopt;
  return span;
}

Result<Chunk> open_chunk(int fd, std::uint64_t offset, std::uint64_t span, const unsigned char* key,
                         std::string_view segment_header) {
  std::string sealed(span, '\0');
  auto n = TRY(read_at(fd, sealed.data(), sealed.size(), offset));
  if (n < span || span < kChunkPrefixBytes + kTagBytes)
    return fail(Code::kDataLoss, "log chunk is cut short");
  Chunk chunk;
  chunk.plain.resize(span - kChunkPrefixBytes - kTagBytes);
  auto ad = associated_data(segment_header, offset);
  int rc = ::crypto_aead_xchacha20poly1305_ietf_decrypt(
      bytes_of(chunk.plain), nullptr, nullptr, bytes_of(sealed, kChunkPrefixBytes),
      span - kChunkPrefixBytes, bytes_of(std::string_view(ad)), ad.size(), bytes_of(sealed, 4),
      key);
  if (rc != 0)
    return fail(Code::kDataLoss, "log chunk does not open: damaged, moved, or of another key");
  std::string_view rest = chunk.plain;
  chunk.head = TRY(parse_head(rest));
  TRY(parse_records(rest, chunk));
  return chunk;
}

Result<ChunkMap> map_chunks(int fd, std::uint64_t size) {
  ChunkMap map;
  std::array<char, 4096> window;
  std::uint64_t at = 0;  // of the window
  std::size_t have = 0;
  while (map.end + kChunkPrefixBytes <= size) {
    if (map.end < at || map.end + 4 > at + have) {
      at = map.end;
      have = TRY(read_at(fd, window.data(), window.size(), at));
      if (have < 4) break;
    }
    auto length = integer_at<std::uint32_t>({window.data(), have}, map.end - at);
    if (!possible_length(length) || map.end + kChunkPrefixBytes + length > size) break;
    map.offsets.push_back(static_cast<std::uint32_t>(map.end));
    map.end += kChunkPrefixBytes + length;
  }
  return map;
}

}  // namespace flodea::control
