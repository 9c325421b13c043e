#include "supervisor/vault/aio_queue.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace flodea::vault {

Result<AioQueue> AioQueue::create(unsigned capacity) {
  auto event = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  aio_context_t context = 0;
  if (::syscall(SYS_io_setup, capacity, &context) != 0) {
    if (errno != EAGAIN) return fail_errno("io_setup");
    return tl::unexpected(Error{.code = Code::kResourceExhausted,
                                .message = "io_setup: the host's asynchronous I/O is used up",
                                .sys_errno = EAGAIN}
                              .with_remedy("raise the sysctl fs.aio-max-nr"));
  }
  return AioQueue(context, std::move(event), capacity);
}

AioQueue::AioQueue(aio_context_t context, UniqueFd event, unsigned capacity)
    : context_(context), event_(std::move(event)), events_(capacity) {
  collected_.reserve(capacity);
  refused_.reserve(capacity);
}

AioQueue::AioQueue(AioQueue&& other) noexcept
    : context_(std::exchange(other.context_, 0)),
      event_(std::move(other.event_)),
      collected_(std::move(other.collected_)),
      refused_(std::move(other.refused_)),
      events_(std::move(other.events_)) {}

AioQueue::~AioQueue() {
  if (context_ != 0) ::syscall(SYS_io_destroy, context_);
}

void AioQueue::add(iocb& operation) {
  operation.aio_flags = IOCB_FLAG_RESFD;
  operation.aio_resfd = static_cast<__u32>(event_.get());
  collected_.push_back(&operation);
}

void AioQueue::submit() {
  std::span<iocb*> left(collected_);
  while (!left.empty()) {
    long taken = ::syscall(SYS_io_submit, context_, left.size(), left.data());
    if (taken < 0 && errno == EINTR) continue;
    if (taken <= 0) {  // the first one was refused; the others may go
      refused_.push_back(
          {.data = left[0]->aio_data, .obj = 0, .res = taken < 0 ? -errno : -EIO, .res2 = 0});
      taken = 1;
    }
    left = left.subspan(static_cast<std::size_t>(taken));
  }
  collected_.clear();
}

std::span<const io_event> AioQueue::reap(Wait wait) {
  std::size_t count = std::min(refused_.size(), events_.size());
  std::copy_n(refused_.begin(), count, events_.begin());
  refused_.clear();
  long least = wait == Wait::kForOne && count == 0 ? 1 : 0;
  long got;
  do {
    got = ::syscall(SYS_io_getevents, context_, least, static_cast<long>(events_.size() - count),
                    events_.data() + count, nullptr);
  } while (got < 0 && errno == EINTR && least > 0);
  return {events_.data(), count + static_cast<std::size_t>(std::max(got, 0L))};
}

}  // namespace flodea::vault
