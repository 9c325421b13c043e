// The format of one log segment, logs/<agent id>/<number>.seg; little-endian, no padding
// (docs/logs.md):
//   header, 64 bytes: "FLODLOG1" | u32 version | u32 zero | agent id, 32 hex digits | u64 number |
//   i64 created (wall, ns) chunks:           u32 bytes of ciphertext | nonce, 24 bytes |
//   XChaCha20-Poly1305-IETF ciphertext and tag
// A chunk's associated data is the segment's header and the chunk's offset, so no chunk can be
// moved, copied to another segment or to another agent. In clear are only lengths and the header.
// Pure functions over descriptors and buffers; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log_frame.h"

namespace flodea::control {

inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kChunkPrefixBytes = 4 + 24;  // length and nonce
inline constexpr std::size_t kMaxChunkText = 64 * 1024;  // of frames or lines gathered in one chunk
inline constexpr std::size_t kMaxChunkBytes =
    160 * 1024;  // of ciphertext: the bound a reader enforces

// How far an instance's frames are stored. A chunk names the last two instances', for one that ends
// while the next begins.
struct LogPosition {
  Generation generation;
  std::uint64_t seq = 0;
};

struct LogRecord {
  LogStream stream = LogStream::kStdout;
  std::uint8_t flags = 0;
  std::int64_t time_ns = 0;
  std::string_view text;
};

// What every chunk says of itself, so that lookups by time or line decrypt a few chunks, not all.
struct ChunkHead {
  Generation generation;         // of all its lines
  std::uint64_t first_line = 0;  // lines of this log stored before, ever
  std::int64_t stored_ns = 0;    // never falls; no line of the chunk has a later time
  std::uint32_t lines = 0;
  std::vector<LogPosition> positions;  // after this chunk, at most two
};

// Moves, but is never copied: `records` point into `plain`, which is always too long to be stored
// inside the string object.
struct Chunk {
  Chunk() = default;
  Chunk(Chunk&&) = default;
  Chunk& operator=(Chunk&&) = default;

  ChunkHead head;
  std::string plain;  // whole plaintext
  std::vector<LogRecord> records;
};

std::string segment_name(std::uint64_t number);  // "00000001.seg"
std::optional<std::uint64_t> segment_number(
    std::string_view name);  // nullopt: not a segment's name
std::string make_segment_header(const AgentId& agent, std::uint64_t number, Nanos created);
// kDataLoss: not the header of this segment.
Status check_segment_header(std::string_view header, const AgentId& agent, std::uint64_t number);

void begin_chunk(const ChunkHead& head, std::string& plain);
void append_record(const LogRecord& record, std::string& plain);
// Prefix and ciphertext, ready to be written at `offset`.
std::string seal_chunk(std::string_view plain, const unsigned char* key,
                       std::string_view segment_header, std::uint64_t offset);

// Bytes of the whole chunk at `offset` (prefix included). nullopt: the file ends at `offset` or
// before the chunk does. kDataLoss: no chunk can have that length.
Result<std::optional<std::uint64_t>> chunk_span(int fd, std::uint64_t offset,
                                                std::uint64_t file_size);
// `span` as chunk_span gave it. kDataLoss: damaged, moved, or of another key.
Result<Chunk> open_chunk(int fd, std::uint64_t offset, std::uint64_t span, const unsigned char* key,
                         std::string_view segment_header);

// Offsets of the chunks in [header, size), by their lengths alone; `end` is where the last whole
// one ends.
struct ChunkMap {
  std::vector<std::uint32_t> offsets;
  std::uint64_t end = kSegmentHeaderBytes;
};
Result<ChunkMap> map_chunks(int fd, std::uint64_t size);

}  // namespace flodea::control
