#include "supervisor/helper/volume/geometry.h"

#include <algorithm>

namespace flodea::volume {
namespace {

constexpr std::uint64_t kBlocksPerGroup = 8 * kBlockBytes;  // what one bitmap block covers
constexpr std::uint64_t kDescriptorBytes = 64;              // feature 64bit
constexpr std::uint64_t kInodesPerBlock = kBlockBytes / kInodeBytes;
constexpr std::uint64_t kDirectoryBlocks = 16;  // root, lost+found (4), Flodea's own five, slack
constexpr std::uint64_t kMinLastGroup =
    64;  // mke2fs drops a last group with fewer than 50 blocks of data

std::uint64_t ceil_div(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

bool is_power_of(std::uint64_t n, std::uint64_t base) {
  while (n % base == 0) n /= base;
  return n == 1;
}

// sparse_super: groups 0, 1 and powers of 3, 5, 7 hold a superblock and all descriptors.
std::uint64_t superblock_copies(std::uint64_t groups) {
  std::uint64_t copies = 0;
  for (std::uint64_t g = 0; g < groups; ++g)
    copies += g <= 1 || is_power_of(g, 3) || is_power_of(g, 5) || is_power_of(g, 7) ? 1 : 0;
  return copies;
}

std::uint64_t group_overhead(std::uint64_t groups, std::uint64_t inodes) {
  return 2 + ceil_div(ceil_div(inodes, groups), kInodesPerBlock);
}

std::uint64_t overhead_blocks(std::uint64_t device_blocks, std::uint64_t inodes,
                              std::uint64_t journal_bytes) {
  std::uint64_t groups = ceil_div(device_blocks, kBlocksPerGroup);
  std::uint64_t copy = 1 + ceil_div(groups * kDescriptorBytes, kBlockBytes);
  std::uint64_t set_aside = std::min<std::uint64_t>(device_blocks / 50, 4096);
  return groups * group_overhead(groups, inodes) + superblock_copies(groups) * copy +
         journal_bytes / kBlockBytes + set_aside + kDirectoryBlocks;
}

std::uint64_t without_stunted_last_group(std::uint64_t blocks, std::uint64_t inodes) {
  std::uint64_t groups = ceil_div(blocks, kBlocksPerGroup);
  std::uint64_t in_last = blocks - (groups - 1) * kBlocksPerGroup;
  std::uint64_t least =
      group_overhead(groups, inodes) + 2 + groups * kDescriptorBytes / kBlockBytes + kMinLastGroup;
  return groups > 1 && in_last < least ? blocks + least - in_last : blocks;
}

}  // namespace

Geometry geometry_for(std::uint64_t usable) {
  std::uint64_t usable_blocks = ceil_div(std::max(usable, kMinUsableBytes), kBlockBytes);
  std::uint64_t inodes = usable_blocks / 2;
  std::uint64_t journal = usable_blocks * kBlockBytes >= 512ull << 20 ? 16ull << 20 : 4ull << 20;
  std::uint64_t blocks = usable_blocks;
  for (;;) {  // overhead grows with the device, far slower than the device: ends after a few rounds
    std::uint64_t needed = without_stunted_last_group(
        usable_blocks + overhead_blocks(blocks, inodes, journal), inodes);
    if (needed <= blocks) break;
    blocks = needed;
  }
  return Geometry{.device_bytes = blocks * kBlockBytes, .inodes = inodes, .journal_bytes = journal};
}

}  // namespace flodea::volume
