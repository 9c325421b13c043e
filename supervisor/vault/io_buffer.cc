#include "supervisor/vault/io_buffer.h"

#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace flodea::vault {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kTotal = kPage + IoBuffer::kMaxPayload + kPage;
constexpr std::size_t kRequestAt = kPage - sizeof(fuse_in_header) - sizeof(fuse_write_in);

}  // namespace

Result<IoBuffer> IoBuffer::create() {
  void* base = ::mmap(nullptr, kTotal, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (base == MAP_FAILED) return fail_errno("map an I/O buffer");
  IoBuffer buffer(static_cast<std::byte*>(base));
  if (::mlock(base, kTotal) != 0)
    return fail_errno("lock an I/O buffer (CAP_IPC_LOCK or a larger RLIMIT_MEMLOCK is needed)");
  if (::madvise(base, kTotal, MADV_DONTDUMP) != 0) return fail_errno("madvise of an I/O buffer");
  return buffer;
}

IoBuffer::IoBuffer(IoBuffer&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}

IoBuffer::~IoBuffer() {
  if (base_ == nullptr) return;
  ::explicit_bzero(base_, kTotal);
  ::munmap(base_, kTotal);
}

std::span<std::byte> IoBuffer::request() {
  return {base_ + kRequestAt, kPage - kRequestAt + kMaxPayload};
}
std::span<std::byte> IoBuffer::payload() { return {base_ + kPage, kMaxPayload}; }
std::span<std::byte> IoBuffer::scratch() { return {base_ + kPage + kMaxPayload, kPage}; }

}  // namespace flodea::vault
