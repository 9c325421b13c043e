#include "worker/agent_calls.h"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "flodea/agent/v1/self.pb.h"
#include "flodea/kernel/v1/clock.pb.h"
#include "flodea/storage/v1/store.pb.h"
#include "tests/support/fake_clock.h"

namespace flodea::worker {
namespace {

using Json = nlohmann::json;
constexpr const char* kNow = "flodea.kernel.v1.Clock/Now";
constexpr const char* kPut = "flodea.storage.v1.Store/Put";
constexpr const char* kCommit = "flodea.storage.v1.Store/Commit";
constexpr const char* kWatch = "flodea.agent.v1.Self/WatchStop";

// What was asked of the channels to control, newest channel last; the test answers.
struct Channels final : CallChannelFactory {
  struct Seen {
    std::vector<CallStart> started;
    std::vector<CallId> wanted, cancelled;
    CallObserver* observer = nullptr;
    bool gone = false;
  };
  class Channel final : public CallChannel {
   public:
    explicit Channel(Seen& seen) : seen_(seen) {}
    ~Channel() override { seen_.gone = true; }
    void start(CallStart call) override { seen_.started.push_back(std::move(call)); }
    void read_next(CallId id) override { seen_.wanted.push_back(id); }
    void cancel(CallId id) override { seen_.cancelled.push_back(id); }

   private:
    Seen& seen_;
  };
  Result<std::unique_ptr<CallChannel>> open(UniqueFd, CallObserver& observer) override {
    seen.push_back(std::make_unique<Seen>());
    seen.back()->observer = &observer;
    return std::make_unique<Channel>(*seen.back());
  }
  std::vector<std::unique_ptr<Seen>> seen;
};

struct Setup {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  FakeClock clock;
  UniqueFd page_fd = std::move(*make_status_page());
  StatusPageWriter page = std::move(*StatusPageWriter::map(page_fd.get()));
  StatusPageReader reader = std::move(*StatusPageReader::map(page_fd.get()));
  Channels channels;
  AgentCalls calls{*loop, channels, page, clock};
  UniqueFd agent;
  std::string unread;

  explicit Setup(CallLimits limits = {}) {
    auto pair = std::move(*make_socketpair(SOCK_STREAM | SOCK_NONBLOCK));
    agent = std::move(pair.first);
    REQUIRE(calls.start(std::move(pair.second), limits));
  }
  Channels::Seen& attach() {
    REQUIRE(calls.attach(UniqueFd()));
    return *channels.seen.back();
  }
  void turn(int timeout_ms = 0) { REQUIRE(loop->run_once(timeout_ms)); }

  void line(const std::string& text) {
    std::string bytes = text + "\n";
    REQUIRE(::send(agent.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    turn();
  }
  void say(Json message) {
    message["jsonrpc"] = "2.0";
    line(message.dump());
  }
  void call(int id, const char* method, Json params = Json::object(), Json more = Json::object()) {
    more["id"] = id;
    more["method"] = method;
    more["params"] = std::move(params);
    say(std::move(more));
  }
  // The next line for the agent; null: none.
  Json hear() {
    char chunk[65536];
    ssize_t n;
    while ((n = ::recv(agent.get(), chunk, sizeof chunk, 0)) > 0)
      unread.append(chunk, static_cast<std::size_t>(n));
    auto end = unread.find('\n');
    if (end == std::string::npos) return {};
    Json message = Json::parse(unread.substr(0, end));
    unread.erase(0, end + 1);
    return message;
  }
  int error() { return hear().at("error").at("code"); }
};

constexpr int unavailable = -32014, cancelled = -32001, exhausted = -32008, too_late = -32004;

std::string stop_notice(const std::string& reason) {
  agent::v1::StopNotice notice;
  notice.set_reason(reason);
  return notice.SerializeAsString();
}

}  // namespace

TEST_CASE("a call goes to control and its answer back to the agent") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kNow, Json::object(), {{"deadline_ms", 1500}});
  REQUIRE(control.started.size() == 1);
  CHECK(control.started[0].path == "/flodea.kernel.v1.Clock/Now");
  CHECK_FALSE(control.started[0].streams);
  CHECK(control.started[0].timeout == std::chrono::milliseconds(1500));
  kernel::v1::NowResponse reply;
  reply.set_wall_nanos(7);
  control.observer->on_done(control.started[0].id, {.reply = reply.SerializeAsString()});
  Json answer = s.hear();
  CHECK(answer["id"] == 1);
  CHECK(answer["result"]["wallNanos"] == "7");
  CHECK(s.reader.read()->calls == 1);
}

TEST_CASE("an error of a module keeps its code, message and details") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kNow);
  control.observer->on_done(control.started[0].id, {.code = 5, .message = "no such key"});
  Json answer = s.hear();
  CHECK(answer["error"]["code"] == -32005);
  CHECK(answer["error"]["message"] == "no such key");
}

TEST_CASE("a reply that is not of its type is the server's fault") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kNow);
  control.observer->on_done(control.started[0].id, {.reply = "\xff\xff"});
  CHECK(s.error() == -32013);
}

TEST_CASE("what is no sound request is answered, counted and sent nowhere") {
  Setup s({.max_line_bytes = 4096, .max_open_calls = 2});
  auto& control = s.attach();
  s.line("garbage");
  CHECK(s.error() == kParseError);
  s.call(1, "flodea.kernel.v1.Clock/Nope");
  CHECK(s.error() == kMethodNotFound);
  s.say({{"method", "credit"}, {"params", {{"id", 1}}}});
  CHECK(s.error() == kInvalidRequest);
  s.line(std::string(5000, ' '));
  CHECK(s.error() == kInvalidRequest);
  CHECK(s.reader.read()->protocol_errors == 4);
  s.call(1, kPut, Json::object(), {{"idempotency_key", "k"}});
  CHECK(s.error() == kInvalidParams);
  CHECK(control.started.empty());
  s.call(1, kNow);
  s.call(1, kNow);
  CHECK(s.error() == kInvalidRequest);
  s.call(2, kNow);
  s.call(3, kNow);
  CHECK(s.error() == exhausted);
  CHECK(control.started.size() == 2);
}

TEST_CASE("an item of a stream is asked for only against credit, one at a time") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kWatch);
  REQUIRE(control.started.size() == 1);
  CHECK(control.started[0].streams);
  CallId id = control.started[0].id;
  CHECK(control.wanted.empty());
  s.say({{"method", "credit"}, {"params", {{"id", 1}, {"n", 2}}}});
  CHECK(control.wanted.size() == 1);
  control.observer->on_item(id, stop_notice("a"));
  CHECK(control.wanted.size() == 2);
  control.observer->on_item(id, stop_notice("b"));
  CHECK(control.wanted.size() == 2);  // the credit is used up
  for (int seq : {1, 2}) {
    Json item = s.hear();
    CHECK(item["method"] == "stream");
    CHECK(item["params"]["id"] == 1);
    CHECK(item["params"]["seq"] == seq);
    CHECK(item["params"]["message"]["reason"] == (seq == 1 ? "a" : "b"));
  }
  control.observer->on_done(id, {});
  CHECK(s.hear()["result"] == Json::object());
}

TEST_CASE("while the agent does not read, nothing more is asked for") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kWatch);
  CallId id = control.started[0].id;
  s.say({{"method", "credit"}, {"params", {{"id", 1}, {"n", 1000}}}});
  std::size_t sent = 0;
  for (; sent < control.wanted.size(); ++sent)
    control.observer->on_item(id, stop_notice(std::string(60'000, 'x')));
  CHECK(sent < 100);
  std::size_t heard = 0;
  for (int quiet = 0; quiet < 3; s.turn()) {
    bool none = s.hear().is_null();
    quiet = none ? quiet + 1 : 0;
    heard += none ? 0 : 1;
  }
  CHECK(heard == sent);
  CHECK(control.wanted.size() == sent + 1);
}

TEST_CASE("a cancelled call is ended by control if it has it, else at once") {
  Setup s;
  s.call(1, kNow);
  s.say({{"method", "cancel"}, {"params", {{"id", 1}}}});
  CHECK(s.error() == cancelled);
  auto& control = s.attach();
  CHECK(control.started.empty());
  s.call(2, kNow);
  s.say({{"method", "cancel"}, {"params", {{"id", 2}}}});
  CHECK(s.hear().is_null());
  REQUIRE(control.cancelled.size() == 1);
  control.observer->on_done(control.cancelled[0], {.code = 1, .message = "cancelled"});
  CHECK(s.error() == cancelled);
  s.say({{"method", "cancel"}, {"params", {{"id", 2}}}});  // it has just ended: no error
  CHECK(s.hear().is_null());
}

TEST_CASE("calls that come before control are started once it is there") {
  Setup s;
  s.call(1, kNow);
  s.call(2, kPut, {{"key", "YQ=="}});
  CHECK(s.hear().is_null());
  auto& control = s.attach();
  CHECK(control.started.size() == 2);
}

TEST_CASE("when control dies, what may be repeated is; what may not ends and says so") {
  Setup s;
  auto& first = s.attach();
  s.call(1, kNow);
  s.call(2, kPut, {{"key", "YQ=="}});
  s.call(3, kCommit, {{"deletes", {"YQ=="}}}, {{"idempotency_key", "k1"}});
  s.call(4, kCommit, {{"deletes", {"YQ=="}}});
  REQUIRE(first.started.size() == 4);
  std::string keyed = first.started[2].request;
  first.observer->on_connection_lost();
  for (const CallStart& call : std::vector(first.started))
    first.observer->on_done(call.id, {.code = 14, .message = "lost", .connection_lost = true});
  std::set<int> ended;
  for (Json answer = s.hear(); !answer.is_null(); answer = s.hear()) {
    CHECK(answer["error"]["code"] == unavailable);
    ended.insert(answer["id"].get<int>());
  }
  CHECK(ended == std::set{2, 4});
  s.call(5, kNow);  // waits with them
  auto& second = s.attach();
  REQUIRE(second.started.size() == 3);
  std::set<std::string> requests;
  for (const CallStart& call : second.started) requests.insert(call.path + " " + call.request);
  CHECK(requests == std::set<std::string>{"/flodea.kernel.v1.Clock/Now ",
                                          "/flodea.storage.v1.Store/Commit " + keyed});
  for (const CallStart& call : second.started) second.observer->on_done(call.id, {.reply = ""});
  int results = 0;
  for (Json answer = s.hear(); !answer.is_null(); answer = s.hear())
    results += answer.contains("result") ? 1 : 0;
  CHECK(results == 3);
}

TEST_CASE("a channel that is replaced while calls are in flight is as one that was lost") {
  Setup s;
  auto& first = s.attach();
  s.call(1, kNow);
  s.call(2, kPut, {{"key", "YQ=="}});
  auto& second = s.attach();
  CHECK(first.gone);
  CHECK(second.started.size() == 1);
  CHECK(s.error() == unavailable);
}

TEST_CASE("a stream is opened again, and asks for what credit is left") {
  Setup s;
  auto& first = s.attach();
  s.call(1, kWatch);
  s.say({{"method", "credit"}, {"params", {{"id", 1}, {"n", 1}}}});
  auto& second = s.attach();
  REQUIRE(second.started.size() == 1);
  CHECK(second.started[0].path == first.started[0].path);
  CHECK(second.wanted.size() == 1);
  second.observer->on_item(second.started[0].id, stop_notice("late"));
  CHECK(s.hear()["params"]["message"]["reason"] == "late");
}

TEST_CASE("nobody waits longer for control than its deadline, or half a minute") {
  Setup s;
  s.call(1, kNow);
  s.call(2, kNow, Json::object(), {{"deadline_ms", 10}});
  s.clock.advance(std::chrono::milliseconds(11));
  for (int i = 0; i < 100 && s.unread.empty(); ++i) {
    s.turn(100);
    Json answer = s.hear();
    if (answer.is_null()) continue;
    CHECK(answer["id"] == 2);
    CHECK(answer["error"]["code"] == too_late);
    break;
  }
  s.clock.advance(AgentCalls::kDetachedLimit);
  s.call(3, kNow);  // looks at who waits
  s.turn(1000);
  Json answer = s.hear();
  CHECK(answer["id"] == 1);
  CHECK(answer["error"]["code"] == unavailable);
  CHECK(s.hear().is_null());
  CHECK(s.attach().started.size() == 1);
}

TEST_CASE("what is left of a deadline is what a repeated call gets") {
  Setup s;
  s.attach();
  s.call(1, kNow, Json::object(), {{"deadline_ms", 1000}});
  s.clock.advance(std::chrono::milliseconds(400));
  auto& second = s.attach();
  REQUIRE(second.started.size() == 1);
  CHECK(second.started[0].timeout == std::chrono::milliseconds(600));
}

TEST_CASE("readiness is noted once control has taken it") {
  Setup s;
  auto& control = s.attach();
  s.call(1, "flodea.agent.v1.Self/Ready");
  CHECK_FALSE(s.reader.read()->ready);
  control.observer->on_done(control.started[0].id, {.reply = ""});
  CHECK(s.reader.read()->ready);
}

TEST_CASE("a beat counts when it comes, with or without a control") {
  Setup s;
  CHECK(s.reader.read_health()->agent_beat == Nanos(0));
  s.call(1, "flodea.agent.v1.Self/Beat");
  CHECK(s.reader.read_health()->agent_beat == s.clock.monotonic());
  auto& control = s.attach();
  CHECK(control.started.size() == 1);  // it is repeated, and answered by the next
  s.clock.advance(std::chrono::seconds(3));
  s.call(2, "flodea.agent.v1.Self/Ready");
  CHECK(s.reader.read_health()->agent_beat == s.clock.monotonic() - std::chrono::seconds(3));
}

TEST_CASE("when the agent's socket closes its calls are cancelled, and late answers go nowhere") {
  Setup s;
  auto& control = s.attach();
  s.call(1, kNow);
  s.agent.reset();
  s.turn();
  CHECK(control.cancelled.size() == 1);
  control.observer->on_done(control.started[0].id, {.code = 1});
  s.attach();
  CHECK(s.channels.seen.back()->started.empty());
}

}  // namespace flodea::worker
