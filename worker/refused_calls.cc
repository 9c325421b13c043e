#include "worker/refused_calls.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "base/fd_message.h"

namespace flodea::worker {
namespace {

constexpr int kCallsPerTurn =
    64;  // so that an agent that loops on a refused call starves nothing else
constexpr std::size_t kMaxNumbers =
    512;  // numbers come from the agent: `unreported_` stays bounded

}  // namespace

RefusedCalls::~RefusedCalls() {
  if (socket_) loop_.unwatch(socket_.get());
  drop_listener();
}

Status RefusedCalls::expect_listener(UniqueFd socket) {
  socket_ = std::move(socket);
  return loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { take_listener(); });
}

void RefusedCalls::take_listener() {
  loop_.unwatch(socket_.get());
  auto message = receive_fd_message(socket_.get());
  socket_.reset();
  if (!message || message->fds.size() != 1)
    return;  // the child gave up before: its report says why
  // Without a reader the agent's refused calls would block for ever; a closed listener makes them
  // fail with ENOSYS.
  [[maybe_unused]] auto watched = watch_listener(std::move(message->fds[0]));
}

Status RefusedCalls::watch_listener(UniqueFd listener) {
  TRY(loop_.watch(listener.get(), EPOLLIN, [this](std::uint32_t events) {
    (events & EPOLLIN) != 0 ? answer_some() : drop_listener();
  }));
  listener_ = std::move(listener);
  return {};
}

void RefusedCalls::answer_some() {
  for (int i = 0; i < kCallsPerTurn && answer_one(); ++i) {
    pollfd more{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&more, 1, 0) <= 0 || (more.revents & POLLIN) == 0) return;  // RECV would wait
  }
}

bool RefusedCalls::answer_one() {
  seccomp_notif call{};
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
    return false;  // ENOENT: the caller was killed meanwhile
  auto number = static_cast<std::uint32_t>(call.data.nr);
  page_.add_denied(number);
  if (unreported_.size() < kMaxNumbers || unreported_.contains(number)) ++unreported_[number];
  seccomp_notif_resp answer{.id = call.id, .val = 0, .error = -EPERM, .flags = 0};
  return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT;
}

void RefusedCalls::drop_listener() {
  if (listener_) loop_.unwatch(listener_.get());
  listener_.reset();
}

}  // namespace flodea::worker
