#include "supervisor/control/monitoring/log_segment.h"

#include "supervisor/control/monitoring/testing/support.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control {
namespace {

using namespace test;

struct Written {
  TemporaryDir dir;
  UniqueFd fd;
  AgentId agent = AgentId::random();
  std::string header = make_segment_header(agent, 7, seconds(1));
  std::vector<std::uint64_t> offsets;
  std::uint64_t size = kSegmentHeaderBytes;

  Written() : fd(::open((dir.path() + "/s").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    REQUIRE(write_all(fd.get(), header));
  }
  void add(const std::vector<std::string>& lines) {
    std::string plain;
    begin_chunk(
        {Generation{3}, 10, 99, static_cast<std::uint32_t>(lines.size()), {{Generation{3}, 12}}},
        plain);
    for (const std::string& text : lines) append_record({LogStream::kStderr, 0, 42, text}, plain);
    auto sealed = seal_chunk(plain, key_of(1).data(), header, size);
    REQUIRE(write_all(fd.get(), sealed));
    offsets.push_back(size);
    size += sealed.size();
  }
  Result<Chunk> read(std::uint64_t offset, std::uint64_t span, unsigned char key = 1) const {
    return open_chunk(fd.get(), offset, span, key_of(key).data(), header);
  }
  void overwrite(std::uint64_t offset, std::string_view bytes) const {
    REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
            static_cast<ssize_t>(bytes.size()));
  }
  std::string bytes(std::uint64_t offset, std::size_t n) const {
    std::string s(n, '\0');
    REQUIRE(::pread(fd.get(), s.data(), n, static_cast<off_t>(offset)) == static_cast<ssize_t>(n));
    return s;
  }
};

TEST_CASE("a chunk reads back as it was written") {
  Written segment;
  segment.add({"one", "", std::string(8192, 'x')});
  auto span = chunk_span(segment.fd.get(), kSegmentHeaderBytes, segment.size);
  REQUIRE(span);
  REQUIRE(*span);
  auto chunk = segment.read(kSegmentHeaderBytes, **span);
  REQUIRE(chunk);
  CHECK(chunk->head.generation == Generation{3});
  CHECK(chunk->head.first_line == 10);
  CHECK(chunk->head.stored_ns == 99);
  REQUIRE(chunk->head.positions.size() == 1);
  CHECK(chunk->head.positions[0].seq == 12);
  REQUIRE(chunk->records.size() == 3);
  CHECK(chunk->records[0].text == "one");
  CHECK(chunk->records[0].stream == LogStream::kStderr);
  CHECK(chunk->records[0].time_ns == 42);
  CHECK(chunk->records[2].text.size() == 8192);
}

TEST_CASE("nothing of a line is in the file in clear") {
  Written segment;
  segment.add({"marker-in-a-line"});
  CHECK(segment.bytes(0, segment.size).find("marker") == std::string::npos);
  std::string plain;
  append_record({.text = "marker-in-a-line"}, plain);
  CHECK(plain.find("marker") != std::string::npos);  // unencrypted, the same search finds it
}

TEST_CASE("a chunk that was moved, changed or is another agent's does not open") {
  Written segment;
  segment.add({"first"});
  segment.add({"other"});  // as long as the first
  auto span = segment.offsets[1] - segment.offsets[0];
  REQUIRE(segment.read(segment.offsets[0], span));
  CHECK(!segment.read(segment.offsets[0], span, 2));  // another key

  SECTION("moved within its segment") {
    segment.overwrite(segment.offsets[0], segment.bytes(segment.offsets[1], span));
    CHECK(segment.read(segment.offsets[0], span).error().code == Code::kDataLoss);
    CHECK(segment.read(segment.offsets[1], span));
  }
  SECTION("one bit turned") {
    auto byte = segment.bytes(segment.offsets[0] + 40, 1);
    byte[0] = static_cast<char>(byte[0] ^ 1);
    segment.overwrite(segment.offsets[0] + 40, byte);
    CHECK(segment.read(segment.offsets[0], span).error().code == Code::kDataLoss);
  }
  SECTION("under another segment's number or agent") {
    segment.header = make_segment_header(segment.agent, 8, seconds(1));
    CHECK(!segment.read(segment.offsets[0], span));
    segment.header = make_segment_header(AgentId::random(), 7, seconds(1));
    CHECK(!segment.read(segment.offsets[0], span));
  }
}

TEST_CASE("the map of a segment ends at the last whole chunk") {
  Written segment;
  for (int i = 0; i < 500; ++i) segment.add({"line " + std::to_string(i)});
  auto whole = map_chunks(segment.fd.get(), segment.size);
  REQUIRE(whole);
  CHECK(whole->offsets.size() == 500);
  CHECK(whole->end == segment.size);
  for (std::uint64_t cut = 1; cut < segment.size - segment.offsets.back(); ++cut) {
    auto torn = map_chunks(segment.fd.get(), segment.size - cut);
    REQUIRE(torn);
    CHECK(torn->end == segment.offsets.back());
  }
  segment.overwrite(segment.offsets[100], std::string(4, '\xff'));
  auto damaged = map_chunks(segment.fd.get(), segment.size);
  REQUIRE(damaged);
  CHECK(damaged->end == segment.offsets[100]);
}

TEST_CASE("names of segments are read back, others are not taken for one") {
  CHECK(segment_name(1) == "00000001.seg");
  CHECK(segment_number("00000001.seg") == 1);
  CHECK(segment_number(segment_name(123456789012)) == 123456789012);
  for (const char* name :
       {"1.seg", "0000000a.seg", "00000001.tmp", ".seg", "+0000001.seg", "000000001.seg"}) {
    CHECK(!segment_number(name));
  }
}

TEST_CASE("a header belongs to its agent and number") {
  auto agent = AgentId::random();
  auto header = make_segment_header(agent, 5, seconds(9));
  REQUIRE(header.size() == kSegmentHeaderBytes);
  CHECK(check_segment_header(header, agent, 5));
  CHECK(!check_segment_header(header, agent, 6));
  CHECK(!check_segment_header(header, AgentId::random(), 5));
  CHECK(!check_segment_header(header.substr(0, 63), agent, 5));
}

}  // namespace
}  // namespace flodea::control
