#include "supervisor/control/vault_client/vault_client.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/epoll.h>

#include <algorithm>

#include "base/fd_message.h"
#include "flodea/vault/v1/vault.pb.h"

namespace flodea::control {
namespace {

namespace pb = vault::v1;

void wipe(std::string& text) { ::explicit_bzero(text.data(), text.size()); }

Result<LogKey> key_of(pb::Reply& reply) {
  if (reply.code() != 0) {
    Error error = fail(reply.code() <= 15 ? static_cast<Code>(reply.code()) : Code::kUnknown,
                       "vault: " + reply.message())
                      .value();
    return tl::unexpected(std::move(error).with_remedy(reply.remedy()));
  }
  std::string& text = reply.has_get_code_key() ? *reply.mutable_get_code_key()->mutable_key()
                                               : *reply.mutable_get_log_key()->mutable_key();
  LogKey key{};
  if (text.size() != key.size())
    return fail(Code::kInternal, "the vault sent a key of another size");
  std::copy(text.begin(), text.end(), key.begin());
  wipe(text);
  return key;
}

}  // namespace

Result<std::unique_ptr<VaultClient>> VaultClient::create(EventLoop& loop, UniqueFd socket,
                                                         Nanos patience) {
  int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("socket to the vault");
  int raw = socket.get();
  std::unique_ptr<VaultClient> client(new VaultClient(loop, std::move(socket), patience));
  TRY(loop.watch(raw, EPOLLIN, [self = client.get()](std::uint32_t) { self->turn(); }));
  return client;
}

VaultClient::VaultClient(EventLoop& loop, UniqueFd socket, Nanos patience)
    : loop_(loop), socket_(std::move(socket)), patience_(patience) {}

VaultClient::~VaultClient() {
  loop_.unwatch(socket_.get());
  for (auto& [id, pending] : pending_) loop_.cancel(pending.timer);
}

void VaultClient::get_log_key(const AgentId& agent, KeyCallback done) {
  pb::Request request;
  request.set_id(next_id_++);
  request.mutable_get_log_key()->set_agent_id(agent.text());
  ask(request.id(), request.SerializeAsString(), std::move(done));
}

void VaultClient::get_code_key(KeyCallback done) {
  pb::Request request;
  request.set_id(next_id_++);
  request.mutable_get_code_key();
  ask(request.id(), request.SerializeAsString(), std::move(done));
}

void VaultClient::ask(std::uint64_t id, std::string request, KeyCallback done) {
  pending_[id] = {.request = std::move(request), .done = std::move(done)};
  send(id);
}

// A full socket, like an answer that does not come, means that the vault is away: the next attempt
// is the remedy for both.
void VaultClient::send(std::uint64_t id) {
  Pending& pending = pending_[id];
  ++pending.sent;
  pending.timer = loop_.call_after(patience_, [this, id] { overdue(id); });
  (void)send_fd_message(socket_.get(), pending.request);
}

void VaultClient::overdue(std::uint64_t id) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  if (it->second.sent < kAttempts) return send(id);
  answer(id, fail(Code::kUnavailable, "flodea-vault does not answer"));
}

void VaultClient::answer(std::uint64_t id, Result<LogKey> key) {
  auto node = pending_.extract(id);
  if (node.empty()) return;
  loop_.cancel(node.mapped().timer);
  node.mapped().done(key);
  if (key) ::explicit_bzero(key->data(), key->size());
}

void VaultClient::turn() {
  auto message = receive_fd_message(socket_.get());
  if (!message) {
    // The socket is kept by flodead across a restart of the vault: only flodead's own end closes
    // it.
    if (message.error().sys_errno != EAGAIN && message.error().code != Code::kInvalidArgument)
      loop_.unwatch(socket_.get());
    return;
  }
  pb::Reply reply;
  bool parsed = reply.ParseFromString(message->bytes);
  wipe(message->bytes);
  if (parsed && pending_.contains(reply.id())) answer(reply.id(), key_of(reply));
}

}  // namespace flodea::control
