#include "supervisor/control/guard/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <latch>
#include <set>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/guard/guard.h"
#include "supervisor/control/guard/testing/frames.h"
#include "tests/support/fake_clock.h"

namespace flodea::control {
namespace {

using namespace testing;

using Heard = std::vector<std::pair<std::string, LimitEffect>>;

// A worker's end and a server's end of a relayed connection, and what the observer heard.
struct Fixture {
  Fixture() {
    relay = *Relay::create(clock, [this](const LimitNotice& notice) {
      heard.emplace_back(notice.limit, notice.effect);
    });
  }
  std::pair<UniqueFd, UniqueFd> connect(double calls = 1000, CallMarks::Row row = {}) {
    auto outer = *make_socketpair(SOCK_STREAM);
    auto inner = *make_socketpair(SOCK_STREAM);
    agent = std::make_shared<GuardedAgent>(AgentId::random(), FrameLimits{}, calls, std::move(row));
    REQUIRE(relay->add(++last, std::move(outer.first), std::move(inner.first), agent));
    return {std::move(outer.second), std::move(inner.second)};
  }
  void settle() {
    for (int i = 0; i < 50; ++i) REQUIRE(relay->turn(0));
  }

  FakeClock clock;
  Heard heard;
  std::unique_ptr<Relay> relay;
  std::shared_ptr<GuardedAgent> agent;
  Relay::ConnectionId last = 0;
};

bool write(const UniqueFd& fd, const std::string& bytes) {
  return ::send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}
// What waits; "EOF" at the end.
std::string read(const UniqueFd& fd) {
  std::string bytes(1 << 20, '\0');
  ssize_t n = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) return "EOF";
  bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return bytes;
}

// This process's epoll descriptors.
std::set<int> epolls() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (target == "anon_inode:[eventpoll]") found.insert(std::stoi(entry.path().filename()));
  }
  return found;
}

}  // namespace

TEST_CASE("who has an unanswered call is marked, also by a connection that ended") {
  Fixture f;
  auto marks = *CallMarks::open(*CallMarks::make());
  AgentId id = AgentId::random();
  f.clock.advance(std::chrono::seconds(100));
  auto marked = [&] { return marks->marked(f.clock.monotonic())->contains(id); };
  auto [worker, server] = f.connect(1000, std::move(*CallMarks::add(marks, id)));
  write(worker, kPreface + settings() + headers(1));
  f.settle();
  CHECK(marked());
  write(server, settings(kAck) + headers(1));
  f.settle();
  CHECK(marks->marked(Nanos{})->empty());
  write(worker, data(1, 10));
  f.settle();
  CHECK(marked());
  f.relay->remove(f.last);
  CHECK(marked());
}

TEST_CASE("bytes pass both ways, and an end is passed on") {
  Fixture f;
  auto [worker, server] = f.connect();
  std::string request = kPreface + settings() + headers(1);
  write(worker, request);
  f.settle();
  CHECK(read(server) == request);
  write(server, headers(1));
  f.settle();
  CHECK(read(worker) == headers(1));
  server.reset();
  f.settle();
  CHECK(read(worker) == "EOF");
  CHECK(f.relay->connections() == 0);
  CHECK(f.heard.empty());
}

TEST_CASE("over a limit the connection is closed and the observer told; another goes on") {
  Fixture f;
  auto [bad, bad_server] = f.connect();
  auto [good, good_server] = f.connect();
  write(bad, "garbage that is no preface");
  write(good, kPreface);
  f.settle();
  CHECK(read(bad) == "EOF");
  CHECK(read(bad_server) == "EOF");
  CHECK(f.heard == Heard{{"preface", LimitEffect::kClosed}});
  CHECK(read(good_server) == kPreface);
}

TEST_CASE("a preface that does not come is waited for five seconds") {
  Fixture f;
  auto [silent, silent_server] = f.connect();
  auto [half, half_server] = f.connect();
  auto [greeting, greeting_server] = f.connect();
  write(half, kPreface.substr(0, 10));
  write(greeting, kPreface + settings());
  f.settle();
  f.clock.advance(std::chrono::milliseconds(4999));
  f.settle();
  CHECK(f.relay->connections() == 3);
  f.clock.advance(std::chrono::milliseconds(2));
  f.settle();
  CHECK(read(silent) == "EOF");
  CHECK(read(half) == "EOF");
  CHECK(f.relay->connections() == 1);
  CHECK(f.heard == Heard(2, {"preface_deadline", LimitEffect::kClosed}));
  CHECK(write(greeting, headers(1)));
}

TEST_CASE("calls beyond the rate are passed on as time goes by, reported every ten seconds") {
  Fixture f;
  auto [worker, server] = f.connect(1);  // a burst of two
  std::string greeting = kPreface + settings();
  write(worker, greeting + headers(1) + headers(3) + headers(5) + headers(7));
  f.settle();
  CHECK(read(server).size() == greeting.size() + 2 * headers(1).size() + 8);
  CHECK(f.agent->calls_throttled == 1);
  CHECK(f.relay->buffered_bytes() > 0);
  f.clock.advance(std::chrono::seconds(1));
  f.settle();
  CHECK(read(server).size() == headers(1).size());
  CHECK(f.agent->calls_throttled == 2);
  f.clock.advance(std::chrono::seconds(1));
  f.settle();
  CHECK(read(server).size() == headers(1).size() - 8);
  CHECK(f.relay->buffered_bytes() == 0);
  CHECK(f.heard == Heard{{"calls", LimitEffect::kSlowed}});
}

TEST_CASE("a server that does not read is waited for, with at most 64 KiB held") {
  Fixture f;
  auto [worker, server] = f.connect();
  write(worker, kPreface + settings() + headers(1));
  f.settle();
  std::string sent = read(server);
  write(server, window_update(0, 0x7000'0000) + window_update(1, 0x7000'0000));
  f.settle();
  std::size_t accepted = 0;
  std::string block;
  for (int i = 0; i < 8; ++i) block += data(1, 1000);
  while (accepted < (8u << 20) && write(worker, block)) {
    accepted += block.size();
    f.settle();
  }
  CHECK(accepted < (8u << 20));  // the worker is pushed back
  CHECK(f.relay->buffered_bytes() <= Relay::kTurnBytes);
  std::size_t received = 0;
  for (std::string got = read(server); !got.empty(); got = read(server)) {
    received += got.size();
    f.settle();
  }
  CHECK(received == accepted);
  CHECK(f.relay->buffered_bytes() == 0);
}

TEST_CASE("an agent that does not read is waited for, with at most 64 KiB held") {
  Fixture f;
  auto [worker, server] = f.connect();
  write(worker, kPreface + settings() + headers(1));
  f.settle();
  std::string block;
  for (int i = 0; i < 8; ++i) block += data(1, 1000);
  std::size_t accepted = 0;
  while (accepted < (8u << 20) && write(server, block)) {
    accepted += block.size();
    f.settle();
  }
  CHECK(accepted < (8u << 20));
  CHECK(f.relay->buffered_bytes() <= Relay::kTurnBytes);
  worker.reset();
  f.settle();
  CHECK(f.relay->connections() == 0);
  CHECK(f.relay->buffered_bytes() == 0);
}

TEST_CASE("one agent's flood does not starve another's byte") {
  Fixture f;
  auto [hog, hog_server] = f.connect();
  auto [victim, victim_server] = f.connect();
  write(hog_server, window_update(0, 1'000'000));
  f.settle();
  std::string block = kPreface + settings();
  for (std::uint32_t id = 1; id < 80; id += 2) block += headers(id) + data(id, 4000);
  write(hog, block);
  write(victim, kPreface);
  REQUIRE(f.relay->turn(0));
  CHECK(read(victim_server) == kPreface);  // in the first turn
  CHECK(read(hog_server).size() <= Relay::kTurnBytes);
}

TEST_CASE("the guard's thread relays, and lets connections go") {
  SystemClock clock;
  auto guard = *Guard::create(clock, {}, {});
  auto outer = *make_socketpair(SOCK_STREAM);
  auto inner = *make_socketpair(SOCK_STREAM);
  auto agent = std::make_shared<GuardedAgent>(AgentId::random(), FrameLimits{}, 1000);
  auto id = guard->add(std::move(outer.first), std::move(inner.first), agent);
  write(outer.second, kPreface);
  std::string got(kPreface.size(), '\0');
  CHECK(::recv(inner.second.get(), got.data(), got.size(), MSG_WAITALL) ==
        static_cast<ssize_t>(got.size()));
  CHECK(got == kPreface);
  guard->remove(id);
  CHECK(::recv(outer.second.get(), got.data(), got.size(), 0) == 0);
}

TEST_CASE("a guard that can serve nobody any more says so") {
  SystemClock clock;
  auto before = epolls();
  std::promise<Error> told;
  auto guard = *Guard::create(clock, {}, [&](const Error& why) { told.set_value(why); });
  std::set<int> own = epolls();
  for (int fd : before) own.erase(fd);
  REQUIRE(own.size() == 1);
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(::dup2(null.get(), *own.begin()) >= 0);  // its next wait fails
  guard->remove(1);                                // ends the wait under way
  auto why = told.get_future();
  REQUIRE(why.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(why.get().message.find("epoll") != std::string::npos);
}

}  // namespace flodea::control
