#include "supervisor/control/root_client/root_client.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "supervisor/control/root_client/root_codec_client.h"

namespace flodea::control {

namespace pb = root::v1;

class RootClient::Impl {
 public:
  using Handler = std::function<void(Result<pb::Reply>, std::vector<UniqueFd>& fds)>;

  Impl(EventLoop& loop, UniqueFd socket, RootEvents& events, Nanos patience)
      : loop_(loop), socket_(std::move(socket)), events_(events), patience_(patience) {}
  ~Impl() {
    loop_.unwatch(socket_.get());
    for (auto& [id, pending] : pending_) loop_.cancel(pending.timer);
  }

  Status watch() {
    int flags = ::fcntl(socket_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
      return fail_errno("socket to flodead");
    return loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { turn(events); });
  }

  void request(pb::Request request, Handler handler) {
    request_within({.attempts = kAttempts, .patience = patience_}, std::move(request),
                   std::move(handler));
  }

  struct Asking {
    int attempts = 0;
    Nanos patience{};  // for each
  };
  void request_within(Asking asking, pb::Request request, Handler handler) {
    std::uint64_t id = next_id_++;
    request.set_id(id);
    Pending& pending = pending_[id];
    pending.bytes = request.SerializeAsString();
    pending.handler = std::move(handler);
    pending.asking = asking;
    if (lost_)
      return loop_.post([this, id] { answer(id, fail(Code::kUnavailable, "flodead is gone")); });
    send(id);
  }

  // A request whose reply carries nothing but its code.
  void command(pb::Request message, Callback<void> done) {
    request(std::move(message),
            [done = std::move(done)](Result<pb::Reply> reply, std::vector<UniqueFd>&) {
              done(reply ? Status() : Status(tl::unexpected(std::move(reply).error())));
            });
  }

  void list_page(std::string token, std::vector<ListedInstance> so_far,
                 Callback<std::vector<ListedInstance>> done);

 private:
  struct Pending {
    std::string bytes;
    Handler handler;
    Asking asking;
    int sent = 0;
    EventLoop::TimerId timer = 0;
  };

  void send(std::uint64_t id) {
    auto it = pending_.find(id);
    if (it == pending_.end()) return;
    Pending& pending = it->second;
    ++pending.sent;
    loop_.cancel(pending.timer);
    pending.timer = loop_.call_after(pending.asking.patience, [this, id] { overdue(id); });
    unsent_.push_back(id);
    flush();
  }

  void flush() {
    while (!unsent_.empty()) {
      auto it = pending_.find(unsent_.front());
      if (it != pending_.end()) {
        Status sent = send_fd_message(socket_.get(), it->second.bytes);
        if (!sent && sent.error().sys_errno == EAGAIN) break;
        if (!sent && sent.error().sys_errno == 0) refuse_later(it->first, std::move(sent).error());
        // A broken socket shows itself to `turn` too; there all pending requests end.
      }
      unsent_.pop_front();
    }
    (void)loop_.change(socket_.get(), unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }

  void refuse_later(std::uint64_t id, Error error) {
    loop_.post([this, id, error = std::move(error)]() mutable {
      answer(id, tl::unexpected(std::move(error)));
    });
  }

  void overdue(std::uint64_t id) {
    auto it = pending_.find(id);
    if (it == pending_.end()) return;
    if (it->second.sent < it->second.asking.attempts) return send(id);
    answer(id, fail(Code::kDeadlineExceeded, "flodead did not answer"));
  }

  void answer(std::uint64_t id, Result<pb::Reply> reply) {
    std::vector<UniqueFd> none;
    answer(id, std::move(reply), none);
  }
  void answer(std::uint64_t id, Result<pb::Reply> reply, std::vector<UniqueFd>& fds) {
    auto node = pending_.extract(id);
    if (node.empty()) return;  // answered before: a reply that came twice
    loop_.cancel(node.mapped().timer);
    if (reply && reply->code() != 0) reply = tl::unexpected(error_of(*reply));
    node.mapped().handler(std::move(reply), fds);
  }

  void turn(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) flush();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    for (int i = 0; i < 64; ++i) {  // then others of the loop get their turn
      auto message = receive_fd_message(socket_.get());
      if (!message && message.error().sys_errno == EAGAIN) return;
      if (!message && message.error().code == Code::kInvalidArgument)
        continue;  // truncated: asked again when overdue
      if (!message) return lose(message.error());
      take(*message);
    }
  }

  void take(FdMessage& message) {
    pb::Reply reply;
    if (!reply.ParseFromString(message.bytes)) return;
    if (reply.id() == 0) return announce(reply);
    std::uint64_t id = reply.id();
    answer(id, std::move(reply), message.fds);
  }

  void announce(const pb::Reply& reply) {
    switch (reply.event_case()) {
      case pb::Reply::kInstanceExited:
        if (auto exit = exit_of(reply.instance_exited())) events_.on_instance_exited(*exit);
        break;
      case pb::Reply::kServiceChanged: {
        const auto& change = reply.service_changed();
        events_.on_service_changed({.service = change.service(),
                                    .up = change.up(),
                                    .why = change.why(),
                                    .restarts = change.restarts()});
        break;
      }
      case pb::Reply::kShutdownRequested:
        events_.on_shutdown_requested();
        break;
      case pb::Reply::EVENT_NOT_SET:
        break;
    }
  }

  void lose(const Error& why) {
    if (std::exchange(lost_, true)) return;
    loop_.unwatch(socket_.get());
    unsent_.clear();
    while (!pending_.empty())
      answer(pending_.begin()->first, fail(Code::kUnavailable, "flodead is gone"));
    events_.on_root_lost(why);
  }

  EventLoop& loop_;
  UniqueFd socket_;
  RootEvents& events_;
  Nanos patience_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Pending> pending_;
  std::deque<std::uint64_t> unsent_;
  bool lost_ = false;
};

void RootClient::Impl::list_page(std::string token, std::vector<ListedInstance> so_far,
                                 Callback<std::vector<ListedInstance>> done) {
  pb::Request message;
  message.mutable_list()->set_page_token(token);
  request(std::move(message), [this, so_far = std::move(so_far), done = std::move(done)](
                                  Result<pb::Reply> reply, std::vector<UniqueFd>&) mutable {
    if (!reply) return done(tl::unexpected(std::move(reply).error()));
    for (const auto& instance : reply->list().instances()) {
      if (auto listed = listed_of(instance)) so_far.push_back(std::move(*listed));
    }
    if (reply->list().next_page_token().empty()) return done(std::move(so_far));
    list_page(reply->list().next_page_token(), std::move(so_far), std::move(done));
  });
}

namespace {

template <class Verb>
Verb& of_instance(Verb* verb, const AgentId& agent, Generation generation) {
  verb->set_agent_id(agent.text());
  verb->set_generation(generation.value);
  return *verb;
}

// Turns a reply into what its verb promises; `read` sees only successful ones.
template <class T, class Read>
auto reading(RootClient::Callback<T> done, Read read) {
  return [done = std::move(done), read = std::move(read)](Result<pb::Reply> reply,
                                                          std::vector<UniqueFd>& fds) {
    if (!reply) return done(tl::unexpected(std::move(reply).error()));
    done(read(*reply, fds));
  };
}

}  // namespace

Result<std::unique_ptr<RootClient>> RootClient::create(EventLoop& loop, UniqueFd socket,
                                                       RootEvents& events, Nanos patience) {
  auto impl = std::make_unique<Impl>(loop, std::move(socket), events, patience);
  TRY(impl->watch());
  return std::unique_ptr<RootClient>(new RootClient(std::move(impl)));
}

RootClient::RootClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RootClient::~RootClient() = default;

void RootClient::hello(Callback<HostFacts> done) {
  pb::Request message;
  message.mutable_hello()->set_protocol(1);
  impl_->request(
      std::move(message),
      reading<HostFacts>(std::move(done), [](const pb::Reply& reply, auto&) -> Result<HostFacts> {
        if (reply.hello().protocol() != 1)
          return fail(Code::kFailedPrecondition,
                      "flodead speaks root protocol " + std::to_string(reply.hello().protocol()));
        return facts_of(reply.hello());
      }));
}

void RootClient::create_volume(const AgentId& agent, std::uint64_t size_bytes,
                               Callback<bool> done) {
  pb::Request message;
  message.mutable_create_volume()->set_agent_id(agent.text());
  message.mutable_create_volume()->set_size_bytes(size_bytes);
  impl_->request(std::move(message),
                 reading<bool>(std::move(done), [](const pb::Reply& reply, auto&) -> Result<bool> {
                   return reply.create_volume().created();
                 }));
}

void RootClient::start(const StartRequest& request, Callback<StartedInstance> done) {
  pb::Request message;
  *message.mutable_start() = encode_start(request);
  impl_->request(std::move(message),
                 reading<StartedInstance>(std::move(done), [](const pb::Reply& reply, auto& fds) {
                   return started_with_fds(reply.start(), fds);
                 }));
}

void RootClient::adopt(const AgentId& agent, Generation generation,
                       Callback<StartedInstance> done) {
  pb::Request message;
  of_instance(message.mutable_adopt(), agent, generation);
  impl_->request(std::move(message),
                 reading<StartedInstance>(std::move(done), [](const pb::Reply& reply, auto& fds) {
                   return started_with_fds(reply.start(), fds);
                 }));
}

void RootClient::kill(const AgentId& agent, Generation generation, const std::string& reason,
                      Callback<void> done) {
  pb::Request message;
  of_instance(message.mutable_kill(), agent, generation).set_reason(reason);
  impl_->command(std::move(message), std::move(done));
}

void RootClient::release(const AgentId& agent, Generation generation,
                         Callback<std::vector<std::string>> done) {
  pb::Request message;
  of_instance(message.mutable_release(), agent, generation);
  using Leftovers = std::vector<std::string>;
  impl_->request(
      std::move(message),
      reading<Leftovers>(std::move(done), [](const pb::Reply& reply, auto&) -> Result<Leftovers> {
        return Leftovers(reply.release().leftovers().begin(), reply.release().leftovers().end());
      }));
}

void RootClient::destroy_volume(const AgentId& agent, Callback<RemovalReceipt> done) {
  pb::Request message;
  message.mutable_destroy_volume()->set_agent_id(agent.text());
  impl_->request(
      std::move(message),
      reading<RemovalReceipt>(std::move(done),
                              [agent](const pb::Reply& reply, auto&) -> Result<RemovalReceipt> {
                                const auto& destroyed = reply.destroy_volume();
                                return RemovalReceipt{.id = agent,
                                                      .key_digest = destroyed.key_digest(),
                                                      .destroyed = Nanos(destroyed.destroyed_ns())};
                              }));
}

void RootClient::list(Callback<std::vector<ListedInstance>> done) {
  impl_->list_page("", {}, std::move(done));
}

void RootClient::run_job(const JobRequest& request, Callback<EndedJob> done) {
  pb::Request message;
  *message.mutable_run_job() = encode_job(request);
  // Another job may be under way, and its sandbox has to be made and undone.
  Nanos patience = std::chrono::seconds(request.seconds) + kJobPatience;
  impl_->request_within(
      {.attempts = 1, .patience = patience}, std::move(message),
      reading<EndedJob>(std::move(done), [](const pb::Reply& reply, auto& fds) -> Result<EndedJob> {
        return ended_job(reply.run_job(), fds);
      }));
}

void RootClient::reload(Callback<void> done) {
  pb::Request message;
  message.mutable_reload();
  impl_->request_within({.attempts = 1, .patience = kReloadPatience}, std::move(message),
                        [done = std::move(done)](Result<pb::Reply> reply, std::vector<UniqueFd>&) {
                          done(reply ? Status() : Status(tl::unexpected(std::move(reply).error())));
                        });
}

void RootClient::set_deadline(const AgentId& agent, Generation generation, Nanos boot,
                              Callback<void> done) {
  pb::Request message;
  of_instance(message.mutable_set_deadline(), agent, generation)
      .set_boottime_ns(static_cast<std::uint64_t>(boot.count()));
  impl_->command(std::move(message), std::move(done));
}

void RootClient::freeze(const AgentId& agent, Generation generation, bool frozen,
                        Callback<void> done) {
  pb::Request message;
  of_instance(message.mutable_freeze(), agent, generation).set_frozen(frozen);
  impl_->command(std::move(message), std::move(done));
}

}  // namespace flodea::control
