// One request of the kernel while it is being answered: its buffer, and the disk operation it waits
// for.
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>

#include "supervisor/vault/io_buffer.h"

struct fuse_req;

namespace flodea::vault {

class Volume;

struct IoSlot {
  enum class Kind { kIdle, kRead, kWrite, kSync };

  IoBuffer buffer;
  Kind kind = Kind::kIdle;  // kIdle: answered, or nobody asked
  Volume* volume = nullptr;
  fuse_req* request = nullptr;  // to be answered exactly once
  std::size_t size = 0;
  std::uint64_t offset = 0;
  iocb operation{};
};

}  // namespace flodea::vault
