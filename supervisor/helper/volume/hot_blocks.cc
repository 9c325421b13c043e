#include "supervisor/helper/volume/hot_blocks.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace flodea::volume {
namespace {

constexpr std::uint32_t kBlock = 4096;
constexpr std::uint32_t kNear = 8;
constexpr char kMagic[8] = {'f', 'l', 'o', 'd', 'e', 'a', 'h', '1'};

struct Note {  // host byte order: a volume stays on its host
  char magic[8];
  std::uint32_t count;
  BlockRange ranges[kMaxHotRanges];
};
static_assert(sizeof(Note) <= kBootBlockBytes);

// cachestat(2), Linux 6.5: newer than the headers we build with. mincore(2) would not do: it does
// not count what was read a buffer at a time, as file systems read their tables.
constexpr long kSysCachestat = 451;
struct CacheRange {
  std::uint64_t offset, length;
};
struct CacheCounts {
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

Result<bool> any_resident(int device, std::uint64_t first, std::uint64_t blocks) {
  CacheRange range{first * kBlock, blocks * kBlock};
  CacheCounts counts{};
  if (::syscall(kSysCachestat, device, &range, &counts, 0) != 0) return fail_errno("cachestat");
  return counts.cached != 0;
}

// Halves what is not empty until it is one block.
Status find_resident(int device, std::uint64_t first, std::uint64_t blocks,
                     std::vector<std::uint32_t>& found) {
  if (found.size() >= kMaxHotBlocks || !TRY(any_resident(device, first, blocks))) return {};
  if (blocks == 1) {
    found.push_back(static_cast<std::uint32_t>(first));
    return {};
  }
  TRY(find_resident(device, first, blocks / 2, found));
  return find_resident(device, first + blocks / 2, blocks - blocks / 2, found);
}

Result<std::uint64_t> device_bytes(int device) {
  std::uint64_t bytes = 0;
  if (::ioctl(device, BLKGETSIZE64, &bytes) != 0) return fail_errno("size of the volume's device");
  return bytes;
}

}  // namespace

std::vector<BlockRange> hot_ranges(std::span<const std::uint32_t> blocks) {
  std::vector<BlockRange> ranges;
  std::uint32_t total = 0;
  for (std::uint32_t block : blocks) {
    std::uint32_t end = ranges.empty() ? 0 : ranges.back().first + ranges.back().count;
    bool near = !ranges.empty() && block - end < kNear;
    std::uint32_t more = near ? block + 1 - end : 1;
    if (total + more > kMaxHotBlocks || (!near && ranges.size() == kMaxHotRanges)) break;
    total += more;
    if (near)
      ranges.back().count += more;
    else
      ranges.push_back({block, 1});
  }
  return ranges;
}

BootBlock encode_hot_ranges(std::span<const BlockRange> ranges) {
  Note note{};
  std::memcpy(note.magic, kMagic, sizeof kMagic);
  note.count = static_cast<std::uint32_t>(std::min(ranges.size(), kMaxHotRanges));
  std::ranges::copy(ranges.first(note.count), note.ranges);
  BootBlock block{};
  std::memcpy(block.data(), &note, sizeof note);
  return block;
}

std::vector<BlockRange> decode_hot_ranges(std::string_view boot_block, std::uint64_t blocks) {
  Note note;
  if (boot_block.size() < sizeof note) return {};
  std::memcpy(&note, boot_block.data(), sizeof note);
  if (std::memcmp(note.magic, kMagic, sizeof kMagic) != 0 || note.count > kMaxHotRanges) return {};
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < note.count; ++i) {
    const BlockRange& range = note.ranges[i];
    total += range.count;
    if (total > kMaxHotBlocks || std::uint64_t{range.first} + range.count > blocks) return {};
  }
  return {note.ranges, note.ranges + note.count};
}

Result<std::vector<BlockRange>> resident_ranges(int device) {
  std::vector<std::uint32_t> resident;
  auto found = find_resident(device, 0, TRY(device_bytes(device)) / kBlock, resident);
  if (!found && found.error().sys_errno != ENOSYS) return tl::unexpected(std::move(found).error());
  return hot_ranges(resident);
}

Status note_hot_ranges(int image, std::span<const BlockRange> ranges) {
  BootBlock block = encode_hot_ranges(ranges);
  ssize_t n = ::pwrite(image, block.data(), block.size(), 0);
  if (n != static_cast<ssize_t>(block.size())) return fail_errno("write the volume's boot block");
  if (::fsync(image) != 0) return fail_errno("sync the volume");
  return {};
}

Status read_ahead_hot_blocks(int device) {
  BootBlock block;
  ssize_t n = ::pread(device, block.data(), block.size(), 0);
  if (n < 0) return fail_errno("read the volume's boot block");
  std::uint64_t blocks = TRY(device_bytes(device)) / kBlock;
  for (const BlockRange& range :
       decode_hot_ranges({block.data(), static_cast<std::size_t>(n)}, blocks)) {
    if (::readahead(device, static_cast<off64_t>(range.first) * kBlock,
                    std::size_t{range.count} * kBlock) != 0)
      return fail_errno("read ahead in the volume");
  }
  return {};
}

}  // namespace flodea::volume
