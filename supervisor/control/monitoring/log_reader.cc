#include "supervisor/control/monitoring/log_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ranges>

#include "base/safe_path.h"

namespace flodea::control {
namespace {

constexpr std::uint32_t kMaxPageLines = 10'000;
constexpr std::size_t kMaxPageBytes = 8 * kMiB;

// Before the record `index` of the chunk at `offset`. As text: fixed width, so that cursors compare
// as places do.
struct Place {
  std::uint64_t segment = 0;
  std::uint64_t offset = kSegmentHeaderBytes;
  std::uint32_t index = 0;
};

std::string to_cursor(const Place& place) {
  return fmt::format("{:016x}:{:08x}:{:08x}", place.segment, place.offset, place.index);
}

Result<Place> parse_cursor(const std::string& text) {
  unsigned long long segment = 0;
  unsigned long long offset = 0;
  unsigned index = 0;
  std::sscanf(text.c_str(), "%16llx:%8llx:%8x", &segment, &offset, &index);
  Place place{segment, offset, index};
  if (offset < kSegmentHeaderBytes || to_cursor(place) != text)
    return fail(Code::kInvalidArgument, "not a cursor of a log");
  return place;
}

class SegmentReader {
 public:
  static Result<SegmentReader> open(const LogSource& source, const SegmentExtent& extent) {
    auto path = source.agent.text() + "/" + segment_name(extent.number);
    SegmentReader reader(TRY(open_beneath(source.directory, path, O_RDONLY | O_CLOEXEC)),
                         extent.bytes, source.key);
    reader.header_.resize(kSegmentHeaderBytes);
    ssize_t n = ::pread(reader.fd_.get(), reader.header_.data(), reader.header_.size(), 0);
    if (n < 0) return fail_errno("read log segment");
    reader.header_.resize(static_cast<std::size_t>(n));
    TRY(check_segment_header(reader.header_, source.agent, extent.number));
    return reader;
  }

  Result<std::optional<std::uint64_t>> span(std::uint64_t offset) const {
    return chunk_span(fd_.get(), offset, bytes_);
  }
  Result<Chunk> chunk(std::uint64_t offset, std::uint64_t span) const {
    return open_chunk(fd_.get(), offset, span, key_, header_);
  }
  Result<ChunkMap> map() const { return map_chunks(fd_.get(), bytes_); }
  std::uint64_t bytes() const { return bytes_; }

 private:
  SegmentReader(UniqueFd fd, std::uint64_t bytes, const unsigned char* key)
      : fd_(std::move(fd)), bytes_(bytes), key_(key) {}
  UniqueFd fd_;
  std::uint64_t bytes_;
  const unsigned char* key_;
  std::string header_;
};

class PageReader {
 public:
  PageReader(const LogSource& source, const LogSnapshot& snapshot, const LogQuery& query)
      : source_(source),
        snapshot_(snapshot),
        query_(query),
        limit_(std::min(query.limit, kMaxPageLines)) {
    if (query.tail && query.cursor.empty())
      min_line_ = snapshot.next_line - std::min<std::uint64_t>(*query.tail, snapshot.next_line);
  }

  Result<std::vector<LogLine>> read() {
    if (snapshot_.segments.empty()) return std::move(page_);
    Place place = TRY(start());
    for (const SegmentExtent& extent : snapshot_.segments) {
      if (extent.number < place.segment) continue;
      if (full()) break;
      if (extent.number != place.segment) place = Place{.segment = extent.number};
      TRY(read_segment(extent, place));
    }
    return std::move(page_);
  }

 private:
  bool full() const { return page_.size() >= limit_ || page_bytes_ >= kMaxPageBytes; }

  Result<Place> start() {
    if (!query_.cursor.empty()) return from_cursor();
    if (query_.since == Nanos::zero() && min_line_ == 0)
      return Place{.segment = snapshot_.segments.front().number};
    for (const SegmentExtent& extent : std::views::reverse(snapshot_.segments)) {
      auto place = TRY(search(extent));
      if (place) return *place;
    }
    return Place{.segment = snapshot_.segments.front().number};
  }

  Result<Place> from_cursor() {
    Place place = TRY(parse_cursor(query_.cursor));
    if (place.segment > snapshot_.segments.back().number + 1) return no_such_place();
    if (place.segment < snapshot_.segments.front().number)
      return Place{.segment = snapshot_.segments.front().number};
    cursor_checked_ = place.index == 0;
    return place;
  }

  static tl::unexpected<Error> no_such_place() {
    return fail(Code::kInvalidArgument, "the cursor names no place of this log");
  }

  // Nothing wanted is in or before a chunk for which this holds. It holds for a prefix of the log.
  bool before(const ChunkHead& head) const {
    return head.stored_ns < query_.since.count() || head.first_line + head.lines <= min_line_;
  }

  // An unreadable chunk counts as not before: reading then starts early and filters.
  bool before(const SegmentReader& segment, std::uint64_t offset) const {
    auto span = segment.span(offset);
    if (!span || !*span) return false;
    auto chunk = segment.chunk(offset, **span);
    return chunk && before(chunk->head);
  }

  // The place in this segment, if its first chunk is before what is wanted.
  Result<std::optional<Place>> search(const SegmentExtent& extent) const {
    auto segment = SegmentReader::open(source_, extent);
    if (!segment || !before(*segment, kSegmentHeaderBytes)) return std::nullopt;
    auto map = TRY(segment->map());
    auto found = std::ranges::partition_point(
        map.offsets, [&](std::uint32_t offset) { return before(*segment, offset); });
    return Place{extent.number, found == map.offsets.end() ? map.end : *found, 0};
  }

  Status read_segment(const SegmentExtent& extent, Place place) {
    auto segment = SegmentReader::open(source_, extent);
    if (!segment && segment.error().code == Code::kNotFound)
      return {};  // the oldest, deleted meanwhile
    if (!segment) return push_damage(extent.bytes, Place{.segment = extent.number + 1});
    while (!full()) {
      auto span = segment->span(place.offset);
      if (!cursor_checked_ && (!span || !*span)) return no_such_place();
      if (!span)
        return push_damage(segment->bytes() - place.offset, Place{.segment = extent.number + 1});
      if (!*span) break;
      TRY(read_chunk(*segment, place, **span));
      place = Place{extent.number, place.offset + **span, 0};
    }
    return {};
  }

  Status read_chunk(const SegmentReader& segment, const Place& place, std::uint64_t span) {
    auto chunk = segment.chunk(place.offset, span);
    bool cursor_ok = cursor_checked_ || (chunk && place.index <= chunk->records.size());
    if (!cursor_ok) return no_such_place();
    cursor_checked_ = true;
    if (!chunk && chunk.error().code != Code::kDataLoss)
      return tl::unexpected(std::move(chunk).error());
    if (!chunk) return push_damage(span, Place{place.segment, place.offset + span, 0});
    for (std::uint32_t i = place.index; i < chunk->records.size() && !full(); ++i)
      push(*chunk, place, i);
    return {};
  }

  void push(const Chunk& chunk, const Place& place, std::uint32_t i) {
    const LogRecord& record = chunk.records[i];
    if (record.time_ns < query_.since.count() || chunk.head.first_line + i < min_line_) return;
    page_bytes_ += record.text.size() + sizeof(LogLine);
    page_.push_back(LogLine{.time = Nanos(record.time_ns),
                            .stream = record.stream,
                            .partial = (record.flags & LogFrame::kPartial) != 0,
                            .generation = chunk.head.generation.value,
                            .text = std::string(record.text),
                            .cursor = to_cursor({place.segment, place.offset, i + 1})});
  }

  Status push_damage(std::uint64_t bytes, const Place& after) {
    page_.push_back(
        LogLine{.time = page_.empty() ? query_.since : page_.back().time,
                .stream = LogStream::kSystem,
                .generation = page_.empty() ? 0 : page_.back().generation,
                .text = fmt::format("{} bytes of the log are damaged and cannot be read", bytes),
                .cursor = to_cursor(after)});
    return {};
  }

  const LogSource& source_;
  const LogSnapshot& snapshot_;
  const LogQuery& query_;
  std::size_t limit_;
  std::uint64_t min_line_ = 0;
  bool cursor_checked_ = true;  // false: the first chunk read must have the cursor's index
  std::vector<LogLine> page_;
  std::size_t page_bytes_ = 0;
};

}  // namespace

Result<std::vector<LogLine>> read_log(const LogSource& source, const LogSnapshot& snapshot,
                                      const LogQuery& query) {
  return PageReader(source, snapshot, query).read();
}

}  // namespace flodea::control
