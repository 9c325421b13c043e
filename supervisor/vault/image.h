// volumes/<agentid>.img: a header of one block, then the encrypted blocks. docs/volumes.md has the
// format.
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/secret.h"

namespace flodea::vault {

// What stands in the first block, under a MAC whose key is derived from the volume key: a wrong key
// is told from a broken disk.
struct ImageHeader {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::uint32_t kAes256Xts4K = 1;
  static constexpr std::size_t kBytes =
      4096;  // one block: all data stays aligned to blocks of the host's file system

  AgentId agent;
  std::uint64_t plain_bytes = 0;

  std::string encode(const VolumeKey& key) const;
  // kDataLoss: not a header, a version or algorithm of the future, another agent's, or "wrong node
  // key".
  static Result<ImageHeader> decode(std::string_view data, const AgentId& expected,
                                    const VolumeKey& key);
};

// An open image. All offsets are of the plain device; data is ciphertext. Thread-safe: positioned
// I/O on one descriptor.
class Image {
 public:
  // Reserves the whole size on the disk, so that a full host can never abort the agent's journal.
  // An image of this agent that exists already is opened instead (`created` false, its size may
  // differ). kResourceExhausted names free and needed bytes.
  struct Made {
    std::uint64_t plain_bytes;
    bool created;
  };
  static Result<Made> make(int volumes_dir, const AgentId& agent, std::uint64_t plain_bytes,
                           const VolumeKey& key);
  static Result<Image> open(int volumes_dir, const AgentId& agent, const VolumeKey& key);
  static Status remove(int volumes_dir, const AgentId& agent);  // content with a missing one
  static Result<bool> exists(int volumes_dir, const AgentId& agent);
  // Temporaries of a vault that died while it made an image.
  static Status sweep(int volumes_dir);

  std::uint64_t plain_bytes() const { return plain_bytes_; }
  // 0 or an errno. `size` bytes or nothing; buffers aligned to blocks where I/O is direct.
  int read(void* data, std::size_t size, std::uint64_t offset) const;
  int write(const void* data, std::size_t size, std::uint64_t offset) const;
  // The same for AioQueue.
  iocb read_operation(void* data, std::size_t size, std::uint64_t offset) const;
  iocb write_operation(const void* data, std::size_t size, std::uint64_t offset) const;
  iocb sync_operation() const;  // as fdatasync(2)
  // Reads as zeros from then on; the space stays reserved.
  int zero(std::uint64_t offset, std::uint64_t size) const;

 private:
  Image(UniqueFd fd, std::uint64_t plain_bytes) : fd_(std::move(fd)), plain_bytes_(plain_bytes) {}
  UniqueFd fd_;
  std::uint64_t plain_bytes_;
};

}  // namespace flodea::vault
