// A flodead for tests: answers the root protocol on the far end of a socketpair, on the same event
// loop as what is tested. Its instances are descriptors without processes behind them; the test
// plays the worker on their far ends.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd_message.h"
#include "base/mapped_status_page.h"
#include "flodea/root/v1/root.pb.h"

namespace flodea::control::testing {

namespace rootpb = flodea::root::v1;

class FakeRoot {
 public:
  struct Instance {
    UniqueFd attach_control, attach_worker;
    UniqueFd log_read, log_write;
    UniqueFd page;
    UniqueFd store;
    bool exited = false;
    rootpb::InstanceExited exit;
  };
  using Key = std::pair<std::string, std::uint64_t>;

  FakeRoot(EventLoop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {
    (void)loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { turn(); });
  }
  ~FakeRoot() { loop_.unwatch(socket_.get()); }

  std::vector<std::string> asked;  // verbs, in order
  std::map<Key, Instance> instances;
  std::map<std::string, rootpb::Reply> refusals;  // verb → the reply it gets
  std::set<std::string> silent;                   // verbs that are not answered
  bool twice = false;                             // every reply is sent twice

  void send_event(rootpb::Reply reply) {
    (void)send_fd_message(socket_.get(), reply.SerializeAsString());
  }
  void exit(const Key& key, bool signaled = false, int value = 0) {
    Instance& instance = instances.at(key);
    instance.exited = true;
    instance.exit.set_agent_id(key.first);
    instance.exit.set_generation(key.second);
    instance.exit.set_signaled(signaled);
    instance.exit.set_value(value);
    instance.exit.set_status_known(true);
    rootpb::Reply event;
    *event.mutable_instance_exited() = instance.exit;
    send_event(event);
  }
  void hang_up() {
    loop_.unwatch(socket_.get());
    socket_.reset();
  }
  void send_raw(const std::string& bytes) { (void)send_fd_message(socket_.get(), bytes); }

 private:
  void turn() {
    auto message = receive_fd_message(socket_.get());
    if (!message) return loop_.unwatch(socket_.get());
    rootpb::Request request;
    if (!request.ParseFromString(message->bytes)) return;
    answer(request);
  }

  void answer(const rootpb::Request& request) {
    static const std::map<rootpb::Request::VerbCase, std::string> kNames{
        {rootpb::Request::kHello, "hello"},          {rootpb::Request::kCreateVolume, "create"},
        {rootpb::Request::kStart, "start"},          {rootpb::Request::kKill, "kill"},
        {rootpb::Request::kRelease, "release"},      {rootpb::Request::kDestroyVolume, "destroy"},
        {rootpb::Request::kSetDeadline, "deadline"}, {rootpb::Request::kList, "list"},
        {rootpb::Request::kAdopt, "adopt"},          {rootpb::Request::kFreeze, "freeze"}};
    const std::string& verb = kNames.at(request.verb_case());
    asked.push_back(verb);
    if (silent.contains(verb)) return;
    rootpb::Reply reply;
    std::vector<int> fds;
    if (auto refusal = refusals.find(verb); refusal != refusals.end()) {
      reply = refusal->second;
    } else {
      perform(request, reply, fds);
    }
    reply.set_id(request.id());
    for (int i = 0; i < (twice ? 2 : 1); ++i)
      (void)send_fd_message(socket_.get(), reply.SerializeAsString(), fds);
  }

  void perform(const rootpb::Request& request, rootpb::Reply& reply, std::vector<int>& fds) {
    switch (request.verb_case()) {
      case rootpb::Request::kHello:
        reply.mutable_hello()->set_protocol(1);
        reply.mutable_hello()->set_epoch(7);
        reply.mutable_hello()->mutable_host()->set_cpus(2);
        add_service(*reply.mutable_hello(), "flodea-vault", false, 4);
        add_service(*reply.mutable_hello(), "flodea-control", true, 0);
        break;
      case rootpb::Request::kCreateVolume:
        reply.mutable_create_volume()->set_created(true);
        break;
      case rootpb::Request::kStart:
        start({request.start().agent_id(), request.start().generation()}, reply, fds);
        break;
      case rootpb::Request::kAdopt:
        start({request.adopt().agent_id(), request.adopt().generation()}, reply, fds);
        break;
      case rootpb::Request::kKill:
        kill({request.kill().agent_id(), request.kill().generation()});
        break;
      case rootpb::Request::kRelease:
        release({request.release().agent_id(), request.release().generation()}, reply);
        break;
      case rootpb::Request::kDestroyVolume:
        reply.mutable_destroy_volume()->set_key_digest("digest");
        break;
      case rootpb::Request::kList:
        list(request.list(), reply);
        break;
      default:
        break;
    }
  }

  static void add_service(rootpb::HelloReply& hello, const char* name, bool up,
                          std::uint64_t restarts) {
    auto* state = hello.add_services();
    state->set_service(name);
    state->set_up(up);
    state->set_restarts(restarts);
  }
  void start(const Key& key, rootpb::Reply& reply, std::vector<int>& fds) {
    Instance& instance = instances[key];
    if (!instance.page) make(instance);
    reply.mutable_start()->set_worker_pid(42);
    reply.mutable_start()->set_uid_base(70000);
    auto* phase = reply.mutable_start()->add_phases();
    phase->set_name("clone");
    phase->set_nanos(5);
    fds = {instance.attach_control.get(), instance.log_read.get(), instance.page.get(),
           instance.store.get()};
  }
  static void make(Instance& instance) {
    auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    instance.attach_control = std::move(pair->first);
    instance.attach_worker = std::move(pair->second);
    auto pipe = make_pipe();
    instance.log_read = std::move(pipe->first);
    instance.log_write = std::move(pipe->second);
    instance.page = std::move(*make_status_page());
    instance.store =
        std::move(*adopt_fd(::open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC), "store"));
  }
  void kill(const Key& key) {
    auto it = instances.find(key);
    if (it != instances.end() && !it->second.exited) exit(key, true, 9);
  }
  void release(const Key& key, rootpb::Reply& reply) {
    auto it = instances.find(key);
    if (it != instances.end() && !it->second.exited) {
      reply.set_code(static_cast<std::uint32_t>(Code::kFailedPrecondition));
      reply.set_message("the agent still runs");
      return;
    }
    instances.erase(key);
  }
  // Two a page, so that paging is met.
  void list(const rootpb::ListRequest& request, rootpb::Reply& reply) {
    int left = 2;
    for (auto& [key, instance] : instances) {
      if (key.first <= request.page_token()) continue;
      if (left-- == 0)
        return reply.mutable_list()->set_next_page_token(
            reply.list().instances().rbegin()->agent_id());
      auto* out = reply.mutable_list()->add_instances();
      out->set_agent_id(key.first);
      out->set_generation(key.second);
      out->set_state(instance.exited ? rootpb::INSTANCE_STATE_EXITED
                                     : rootpb::INSTANCE_STATE_RUNNING);
      if (instance.exited) *out->mutable_exit() = instance.exit;
    }
  }

  EventLoop& loop_;
  UniqueFd socket_;
};

// Turns the loop until `done`, at most some seconds.
inline bool run_until(EventLoop& loop, const std::function<bool()>& done) {
  SystemClock clock;
  Nanos deadline = clock.monotonic() + std::chrono::seconds(20);
  while (!done()) {
    if (clock.monotonic() > deadline || !loop.run_once(100)) return false;
  }
  return true;
}

}  // namespace flodea::control::testing
