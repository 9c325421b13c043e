#include "supervisor/root/vault_link.h"

#include <sys/epoll.h>

#include "base/fd_message.h"

namespace flodea::root {

Status VaultLink::connect(UniqueFd socket) {
  disconnect();
  socket_ = std::move(socket);
  return loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { on_readable(); });
}

void VaultLink::disconnect() {
  if (socket_) loop_.unwatch(socket_.get());
  socket_.reset();
  auto waiting = std::exchange(waiting_, {});
  for (auto& [id, entry] : waiting) {
    loop_.cancel(entry.timer);
    entry.reply.set(fail(Code::kUnavailable, "flodea-vault ended"));
  }
}

OneShot<vault::v1::Reply> VaultLink::request(vault::v1::Request request, int fd, Nanos deadline) {
  OneShot<vault::v1::Reply> reply(loop_);
  if (!socket_) {
    reply.set(fail(Code::kUnavailable, "flodea-vault is not running"));
    return reply;
  }
  std::uint64_t id = next_id_++;
  request.set_id(id);
  std::span<const int> fds(&fd, fd >= 0 ? 1 : 0);
  auto sent = send_fd_message(socket_.get(), request.SerializeAsString(), fds);
  if (!sent) {
    reply.set(tl::unexpected(std::move(sent).error().with_context("flodea-vault")));
    return reply;
  }
  auto timer = loop_.call_after(deadline, [this, id] {
    answer(id, fail(Code::kDeadlineExceeded, "flodea-vault does not answer"));
  });
  waiting_.emplace(id, Waiting{reply, timer});
  return reply;
}

void VaultLink::answer(std::uint64_t id, Result<vault::v1::Reply> reply) {
  auto it = waiting_.find(id);
  if (it == waiting_.end()) return;  // past its deadline
  loop_.cancel(it->second.timer);
  it->second.reply.set(std::move(reply));
  waiting_.erase(it);
}

void VaultLink::on_readable() {
  auto message = receive_fd_message(socket_.get());
  if (!message) {
    if (message.error().code != Code::kUnavailable) disconnect();  // its end is seen by pidfd
    return;
  }
  vault::v1::Reply reply;
  if (!reply.ParseFromString(message->bytes)) return disconnect();
  std::uint64_t id = reply.id();
  if (reply.code() == 0) return answer(id, std::move(reply));
  auto error = fail(static_cast<Code>(reply.code()), "volume: " + reply.message()).value();
  answer(id, tl::unexpected(std::move(error).with_remedy(reply.remedy())));
}

}  // namespace flodea::root
