// The few blocks that opening a volume always reads: ext4's tables, the journal's head, the
// directories above the agent's own. Read as they are needed, each costs a turn through the vault
// before the next is known. So they are noted once, when the file system is new, in its boot block
// (1024 bytes before the superblock, which ext4 leaves alone:
// Documentation/filesystems/ext4/blockgroup.rst), and an opening asks for all of them at once.
// Only a hint: a note that is missing, or wrong, costs time and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea::volume {

struct BlockRange {  // in blocks of 4096 bytes
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const BlockRange&) const = default;
};

inline constexpr std::size_t kBootBlockBytes = 1024;
inline constexpr std::size_t kMaxHotRanges = 64;
inline constexpr std::uint32_t kMaxHotBlocks = 512;  // together: 2 MiB

using BootBlock = std::array<char, kBootBlockBytes>;

// Of ascending numbers. Neighbours less than 8 blocks apart become one range; what passes the
// limits is left out.
std::vector<BlockRange> hot_ranges(std::span<const std::uint32_t> blocks);

BootBlock encode_hot_ranges(std::span<const BlockRange> ranges);
// Empty where there is no note, or one that no encode gave. `blocks`: of the device.
std::vector<BlockRange> decode_hot_ranges(std::string_view boot_block, std::uint64_t blocks);

// Which blocks of a block device are in the page cache now; none on a kernel that cannot tell
// (before Linux 6.5).
Result<std::vector<BlockRange>> resident_ranges(int device);
// Into the image of a file system that nothing has mounted.
Status note_hot_ranges(int image, std::span<const BlockRange> ranges);
// Starts the reads that the device's note asks for, and does not wait for them.
Status read_ahead_hot_blocks(int device);

}  // namespace flodea::volume
