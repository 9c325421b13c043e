#include "supervisor/root/control_link.h"

#include <fcntl.h>
#include <sys/epoll.h>

namespace flodea::root {
namespace {

constexpr int kMessagesPerTurn = 16;  // control must not keep flodead from its other work

Result<std::vector<UniqueFd>> duplicate_all(std::span<const int> fds) {
  std::vector<UniqueFd> copies;
  for (int fd : fds) copies.push_back(TRY(adopt_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "duplicate")));
  return copies;
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

Status ControlLink::connect(UniqueFd socket) {
  disconnect();
  socket_ = std::move(socket);
  ++life_;
  return loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { on_events(events); });
}

void ControlLink::disconnect() {
  if (socket_) loop_.unwatch(socket_.get());
  socket_.reset();
  waiting_.clear();
}

Status ControlLink::queue(const v1::Reply& reply, std::span<const int> fds) {
  if (waiting_.size() >= kMaxWaiting) return fail(Code::kResourceExhausted, "it does not read");
  waiting_.push_back({reply.SerializeAsString(), TRY(duplicate_all(fds))});
  return loop_.change(socket_.get(), EPOLLIN | EPOLLOUT);
}

void ControlLink::send(const v1::Reply& reply, std::span<const int> fds) {
  if (!socket_) return;  // its successor asks with List
  if (waiting_.empty()) {
    auto sent = send_fd_message(socket_.get(), reply.SerializeAsString(), fds);
    if (sent || sent.error().sys_errno != EAGAIN) return;  // EPIPE: its end is seen by pidfd
  }
  if (auto queued = queue(reply, fds); !queued) on_broken_(queued.error().message);
}

void ControlLink::flush() {
  while (!waiting_.empty()) {
    auto sent =
        send_fd_message(socket_.get(), waiting_.front().bytes, numbers_of(waiting_.front().fds));
    if (!sent && sent.error().sys_errno == EAGAIN) return;
    waiting_.pop_front();
  }
  [[maybe_unused]] auto changed = loop_.change(socket_.get(), EPOLLIN);
}

void ControlLink::on_events(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  for (int i = 0; i < kMessagesPerTurn && socket_; ++i) {
    auto message = receive_fd_message(socket_.get());
    if (message) {
      on_message_(std::move(*message));
      continue;
    }
    if (message.error().code == Code::kUnavailable) return;
    if (message.error().code == Code::kCancelled) return disconnect();
    return on_broken_(message.error().message);
  }
}

}  // namespace flodea::root
