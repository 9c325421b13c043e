// How an agent's file system is laid out on its volume. Pure. Part of flodea_volume.
#pragma once

#include <cstdint>

namespace flodea::volume {

inline constexpr std::uint64_t kBlockBytes = 4096;
inline constexpr std::uint64_t kInodeBytes = 256;
inline constexpr std::uint64_t kMinUsableBytes = 16ull << 20;

struct Geometry {
  std::uint64_t device_bytes;   // of the volume's plain device; what vault.v1 Create is asked for
  std::uint64_t inodes;         // one per 8 KiB of usable space
  std::uint64_t journal_bytes;  // 4 MiB up to 512 MiB, 16 MiB from there on
};

// `usable` is the manifest's `disk` (at least kMinUsableBytes): what statvfs(2) reports as
// available (f_bavail) on the new file system, Flodea's own directories included, is at least that.
// The device is larger by what ext4 keeps for itself:
//   inode tables, journal, a bitmap block each for blocks and inodes per group of 128 MiB, group
//   descriptors with sparse copies, the 2 % (at most 16 MiB) that the kernel sets aside for delayed
//   allocation, and directories.
// geometry_test.cc checks it against mke2fs and the kernel from 16 MiB to 64 GiB.
Geometry geometry_for(std::uint64_t usable);

// The size to ask vault.v1 Create for.
inline std::uint64_t device_size_for(std::uint64_t usable) {
  return geometry_for(usable).device_bytes;
}

}  // namespace flodea::volume
