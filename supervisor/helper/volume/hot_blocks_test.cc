#include "supervisor/helper/volume/hot_blocks.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::volume {
namespace {

std::string_view text(const BootBlock& block) { return {block.data(), block.size()}; }

}  // namespace

TEST_CASE("neighbours become one range, others stay apart") {
  std::vector<std::uint32_t> blocks{0, 1, 2, 9, 40, 60, 61};
  CHECK(hot_ranges(blocks) == std::vector<BlockRange>{{0, 10}, {40, 1}, {60, 2}});
  CHECK(hot_ranges({}).empty());
}

TEST_CASE("no more than the limits is ever noted") {
  std::vector<std::uint32_t> all, scattered;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    all.push_back(i);
    scattered.push_back(i * 100);
  }
  CHECK(hot_ranges(all) == std::vector<BlockRange>{{0, kMaxHotBlocks}});
  CHECK(hot_ranges(scattered).size() == kMaxHotRanges);
}

TEST_CASE("a note reads as it was written") {
  std::vector<BlockRange> ranges{{0, 10}, {40, 1}};
  CHECK(decode_hot_ranges(text(encode_hot_ranges(ranges)), 41) == ranges);
  CHECK(decode_hot_ranges(text(encode_hot_ranges({})), 41).empty());
}

TEST_CASE("what is no note, or points outside of the device, is none") {
  CHECK(decode_hot_ranges("", 1000).empty());
  CHECK(decode_hot_ranges(std::string(kBootBlockBytes, '\0'), 1000).empty());
  CHECK(decode_hot_ranges(std::string(kBootBlockBytes, '\xff'), 1000).empty());
  std::vector<BlockRange> outside{{990, 11}};
  CHECK(decode_hot_ranges(text(encode_hot_ranges(outside)), 1000).empty());
  std::vector<BlockRange> wraps{{0xffff'ffff, 0xffff'ffff}};
  CHECK(decode_hot_ranges(text(encode_hot_ranges(wraps)), 1000).empty());
  std::vector<BlockRange> much{{0, kMaxHotBlocks}, {kMaxHotBlocks, 1}};
  CHECK(decode_hot_ranges(text(encode_hot_ranges(much)), 10'000).empty());
  BootBlock many = encode_hot_ranges({});
  many[8] = '\x7f';  // the count
  CHECK(decode_hot_ranges(text(many), 1000).empty());
}

}  // namespace flodea::volume
