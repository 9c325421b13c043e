// The memory of one request: it lands in it so that the payload of a WRITE begins
// on a page, is encrypted where it lies and goes to the disk from there; a READ is decrypted in the
// same place. Every page is present and locked from the start: the kernel copies requests while it
// holds a reference to these pages, and a page that would have to be faulted in by a process being
// killed turns a request that the next vault could answer into EIO.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"

namespace flodea::vault {

class IoBuffer {
 public:
  // The largest READ or WRITE the kernel may send: FUSE's max_write.
  static constexpr std::size_t kMaxPayload = 256 * 1024;

  static Result<IoBuffer> create();
  IoBuffer(IoBuffer&& other) noexcept;
  IoBuffer& operator=(IoBuffer&&) = delete;
  ~IoBuffer();

  std::span<std::byte> request();  // what read(2) of /dev/fuse is given
  std::span<std::byte> payload();  // kMaxPayload bytes, page-aligned
  std::span<std::byte> scratch();  // one block, for requests that are not whole blocks

 private:
  explicit IoBuffer(std::byte* base) : base_(base) {}
  std::byte* base_;
};

}  // namespace flodea::vault
