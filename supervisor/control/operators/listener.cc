#include "supervisor/control/operators/listener.h"

#include <fcntl.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "supervisor/control/operators/peer.h"

namespace flodea::control {
namespace {

constexpr Nanos kRest = std::chrono::milliseconds(100);

}  // namespace

Result<std::unique_ptr<Listener>> Listener::start(UniqueFd listening, gid_t operators_group,
                                                  Handover handover) {
  auto loop = TRY(EventLoop::create());
  std::unique_ptr<Listener> listener(
      new Listener(std::move(listening), operators_group, std::move(handover), std::move(loop)));
  TRY(listener->loop_->watch(listener->listening_.get(), EPOLLIN,
                             [raw = listener.get()](std::uint32_t) { raw->accept_all(); }));
  listener->thread_ = std::thread([raw = listener.get()] {
    ::pthread_setname_np(::pthread_self(), "operators");
    if (auto ran = raw->loop_->run(); !ran)
      spdlog::error("operators' listener: {}", ran.error().describe());
  });
  return listener;
}

Listener::Listener(UniqueFd listening, gid_t operators_group, Handover handover,
                   std::unique_ptr<EventLoop> loop)
    : listening_(std::move(listening)),
      operators_group_(operators_group),
      handover_(std::move(handover)),
      loop_(std::move(loop)) {}

Listener::~Listener() {
  loop_->stop();
  if (thread_.joinable()) thread_.join();
}

void Listener::accept_all() {
  for (;;) {
    UniqueFd connection(
        ::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection) {
      admit(std::move(connection));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) rest();
    return;
  }
}

// Out of descriptors, most likely: the connection stays in the queue, so that without a pause the
// loop would spin on it.
void Listener::rest() {
  spdlog::warn("operators' socket: accept: {}", std::generic_category().message(errno));
  (void)loop_->change(listening_.get(), 0);
  loop_->call_after(kRest, [this] { (void)loop_->change(listening_.get(), EPOLLIN); });
}

void Listener::admit(UniqueFd connection) {
  auto peer = peer_of(connection.get());
  if (!peer) return spdlog::warn("operators' socket: {}", peer.error().describe());
  if (!may_operate(*peer, operators_group_)) {
    return spdlog::warn(
        "operators' socket: refused pid {} of uid {}: neither root nor in the operators' group "
        "(gid {})",
        peer->pid, peer->uid, operators_group_);
  }
  if (open_.size() >= kMaxConnections) {
    return spdlog::warn("operators' socket: refused pid {}: {} connections are open", peer->pid,
                        open_.size());
  }
  if (auto watched = keep_watch(connection.get()); !watched)
    return spdlog::warn("operators' socket: {}", watched.error().describe());
  handover_(std::move(connection), *peer);
}

Status Listener::keep_watch(int connection) {
  auto second = TRY(adopt_fd(::fcntl(connection, F_DUPFD_CLOEXEC, 0), "duplicate a connection"));
  int fd = second.get();
  // EPOLLHUP comes unasked, once either side has shut down both directions.
  TRY(loop_->watch(fd, 0, [this, fd](std::uint32_t) {
    loop_->unwatch(fd);
    open_.erase(fd);
  }));
  open_.emplace(fd, std::move(second));
  return {};
}

}  // namespace flodea::control
