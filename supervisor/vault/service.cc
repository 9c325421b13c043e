#include "supervisor/vault/service.h"

#include <sodium.h>
#include <spdlog/spdlog.h>

#include "base/fd_message.h"
#include "flodea/vault/v1/vault.pb.h"
#include "supervisor/vault/image.h"

namespace flodea::vault {
namespace {

namespace v1 = ::flodea::vault::v1;

void wipe(std::string& text) {
  ::sodium_memzero(text.data(), text.size());
  text.clear();
}

const char* verb_name(const v1::Request& request) {
  switch (request.verb_case()) {
    case v1::Request::kCreate:
      return "create";
    case v1::Request::kServe:
      return "serve";
    case v1::Request::kStop:
      return "stop";
    case v1::Request::kDestroy:
      return "destroy";
    case v1::Request::kGetLogKey:
      return "get_log_key";
    case v1::Request::kGetCodeKey:
      return "get_code_key";
    case v1::Request::kPing:
      return "ping";
    case v1::Request::kAttachControl:
      return "attach_control";
    case v1::Request::VERB_NOT_SET:
      break;
  }
  return "unknown";
}

// Control has no business with volumes, and flodead none with logs.
bool may_ask(Peer peer, const v1::Request& request) {
  bool gives_key = request.verb_case() == v1::Request::kGetLogKey ||
                   request.verb_case() == v1::Request::kGetCodeKey;
  return peer == Peer::kControl ? gives_key : !gives_key;
}

void put_error(v1::Reply& reply, const Error& error) {
  reply.set_code(static_cast<std::uint32_t>(error.code));
  reply.set_message(error.message);
  reply.set_remedy(error.remedy);
}

}  // namespace

// One request being answered.
class Service::Call {
 public:
  Call(Service& service, std::vector<UniqueFd> fds, Outcome& outcome)
      : s_(service), fds_(std::move(fds)), outcome_(outcome) {}

  Status run(const v1::Request& request, v1::Reply& reply) {
    switch (request.verb_case()) {
      case v1::Request::kCreate:
        return create(request.create(), *reply.mutable_create());
      case v1::Request::kServe:
        return serve(request.serve(), *reply.mutable_serve());
      case v1::Request::kStop:
        return stop(request.stop());
      case v1::Request::kDestroy:
        return destroy(request.destroy(), *reply.mutable_destroy());
      case v1::Request::kGetLogKey:
        return log_key(request.get_log_key(), *reply.mutable_get_log_key());
      case v1::Request::kGetCodeKey:
        return code_key(*reply.mutable_get_code_key());
      case v1::Request::kPing:
        return {};
      case v1::Request::kAttachControl:
        return attach_control();
      case v1::Request::VERB_NOT_SET:
        break;
    }
    return fail(Code::kUnimplemented, "a verb that this vault does not know");
  }

 private:
  Status create(const v1::CreateRequest& request, v1::CreateReply& reply) {
    auto agent = TRY(AgentId::parse(request.agent_id()));
    if (TRY(Image::exists(s_.volumes_dir_.get(), agent))) TRY(require_old_key(agent));
    auto key = TRY(s_.keys_.make_volume_key(agent));
    auto made = TRY(Image::make(s_.volumes_dir_.get(), agent, request.size_bytes(), key));
    reply.set_created(made.created);
    reply.set_size_bytes(made.plain_bytes);
    return {};
  }

  // An old image never gets a new key.
  Status require_old_key(const AgentId& agent) {
    auto key = s_.keys_.volume_key(agent);
    if (key) return {};
    if (key.error().code != Code::kNotFound) return tl::unexpected(std::move(key).error());
    return tl::unexpected(
        Error{.code = Code::kDataLoss,
              .message = "agent " + agent.text() + " has a volume, but its key is missing"}
            .with_remedy("put back keys/" + agent.text() +
                         ".key, or remove the agent and apply it anew"));
  }

  Status serve(const v1::ServeRequest& request, v1::ServeReply& reply) {
    auto agent = TRY(AgentId::parse(request.agent_id()));
    if (fds_.size() != 1)
      return fail(Code::kInvalidArgument, "serve wants one descriptor, /dev/fuse");
    if (s_.server_.serves(agent))
      return fail(Code::kAlreadyExists, "the volume of agent " + agent.text() + " is being served");
    auto key = TRY(s_.keys_.volume_key(agent));
    auto image = TRY(Image::open(s_.volumes_dir_.get(), agent, key));
    reply.set_size_bytes(image.plain_bytes());
    auto connection =
        request.resume() ? Volume::Connection::kTakenOver : Volume::Connection::kFresh;
    auto volume = TRY(Volume::create(agent, std::move(fds_[0]), std::move(image), key, connection));
    if (request.resume())
      TRY(volume->ask_again());  // what comes waits on the connection until a thread reads it
    TRY(volume->publish(s_.table_));
    return s_.server_.add(std::move(volume));
  }

  Status stop(const v1::StopRequest& request) {
    auto agent = TRY(AgentId::parse(request.agent_id()));
    s_.server_.remove(agent);
    return {};
  }

  // The key first: from then on the image is noise, whatever happens to it.
  Status destroy(const v1::DestroyRequest& request, v1::DestroyReply& reply) {
    auto agent = TRY(AgentId::parse(request.agent_id()));
    if (s_.server_.serves(agent))
      return fail(Code::kFailedPrecondition,
                  "the volume of agent " + agent.text() + " is being served");
    bool image = TRY(Image::exists(s_.volumes_dir_.get(), agent));
    auto digest = TRY(s_.keys_.destroy(agent));
    TRY(Image::remove(s_.volumes_dir_.get(), agent));
    reply.set_existed(image || digest.has_value());
    reply.set_key_digest(digest.value_or(""));
    reply.set_destroyed_ns(s_.clock_.wall().count());
    return {};
  }

  Status code_key(v1::GetCodeKeyReply& reply) {
    auto key = TRY(s_.keys_.code_key());
    reply.set_key(key.raw(), LogKey::kSize);
    return {};
  }

  Status log_key(const v1::GetLogKeyRequest& request, v1::GetLogKeyReply& reply) {
    auto agent = TRY(AgentId::parse(request.agent_id()));
    auto key = TRY(s_.keys_.make_log_key(agent));
    reply.set_key(key.raw(), LogKey::kSize);
    return {};
  }

  Status attach_control() {
    if (fds_.size() != 1)
      return fail(Code::kInvalidArgument, "attach_control wants one descriptor, a socket");
    outcome_.new_control = std::move(fds_[0]);
    return {};
  }

  Service& s_;
  std::vector<UniqueFd> fds_;
  Outcome& outcome_;
};

Service::Service(KeyStore& keys, Server& server, UniqueFd volumes_dir,
                 std::shared_ptr<DeviceTable> table, const Clock& clock)
    : keys_(keys),
      server_(server),
      volumes_dir_(std::move(volumes_dir)),
      table_(std::move(table)),
      clock_(clock) {}

Service::Outcome Service::handle(Peer peer, const std::string& bytes, std::vector<UniqueFd> fds) {
  Outcome outcome;
  v1::Request request;
  v1::Reply reply;
  Status done;
  if (!request.ParseFromString(bytes))
    done = fail(Code::kInvalidArgument, "not a request");
  else if (!may_ask(peer, request))
    done = fail(Code::kPermissionDenied,
                std::string(verb_name(request)) + " may not be asked on this socket");
  else
    done = Call(*this, std::move(fds), outcome).run(request, reply);
  if (!done) {
    reply.clear_result();
    put_error(reply, done.error());
    spdlog::warn("verb={} id={} code={} error=\"{}\"", verb_name(request), request.id(),
                 code_name(done.error().code), done.error().message);
  } else {
    spdlog::info("verb={} id={} code=OK", verb_name(request), request.id());
  }
  reply.set_id(request.id());
  reply.SerializeToString(&outcome.reply);
  if (reply.has_get_log_key()) wipe(*reply.mutable_get_log_key()->mutable_key());
  if (reply.has_get_code_key()) wipe(*reply.mutable_get_code_key()->mutable_key());
  return outcome;
}

Status Endpoints::listen(UniqueFd root, UniqueFd control) {
  TRY(watch(Peer::kRoot, std::move(root)));
  return watch(Peer::kControl, std::move(control));
}

Status Endpoints::watch(Peer peer, UniqueFd socket) {
  close(peer);
  TRY(loop_.watch(socket.get(), EPOLLIN, [this, peer](std::uint32_t) { on_readable(peer); }));
  socket_of(peer) = std::move(socket);
  return {};
}

void Endpoints::close(Peer peer) {
  UniqueFd& socket = socket_of(peer);
  if (socket) loop_.unwatch(socket.get());
  socket.reset();
}

void Endpoints::on_readable(Peer peer) {
  auto message = receive_fd_message(socket_of(peer).get());
  if (!message) {
    if (message.error().code == Code::kUnavailable && message.error().sys_errno == EAGAIN) return;
    spdlog::info("socket={} closed=\"{}\"", peer == Peer::kRoot ? "root" : "control",
                 message.error().message);
    close(peer);
    stop_if_useless();
    return;
  }
  auto outcome = service_.handle(peer, message->bytes, std::move(message->fds));
  if (auto sent = send_fd_message(socket_of(peer).get(), outcome.reply); !sent)
    spdlog::warn("reply lost: {}",
                 sent.error().message);  // the peer asks again: every verb is idempotent
  wipe(outcome.reply);
  if (!outcome.new_control) return;
  if (auto watching = watch(Peer::kControl, std::move(outcome.new_control)); !watching)
    spdlog::error("control's socket: {}", watching.error().message);
}

void Endpoints::stop_if_useless() {
  if (!root_ && server_.count() == 0) loop_.stop();
}

}  // namespace flodea::vault
