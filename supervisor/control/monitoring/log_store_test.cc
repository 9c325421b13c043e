#include <fmt/format.h>
#include <malloc.h>

#include "supervisor/control/monitoring/testing/support.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control {
namespace {

using namespace test;

struct Store {
  TemporaryDir dir;
  FakeClock clock;
  Signal signal;
  std::mutex mutex;
  std::vector<std::string> limits;
  std::unique_ptr<LogStore> store = make();

  std::unique_ptr<LogStore> make() {
    LogStoreConfig config{.directory = dir.open(), .clock = clock};
    config.on_limit = [this](const AgentId&, const std::string& message) {
      {
        std::lock_guard lock(mutex);
        limits.push_back(message);
      }
      signal.notify();
    };
    config.limits.retry_first = milliseconds(1);
    config.limits.retry_max = milliseconds(5);
    auto made = make_log_store(std::move(config));
    REQUIRE(made);
    return std::move(*made);
  }
  AgentId agent(std::uint64_t rate = 0, std::uint64_t keep = 16 * kMiB) {
    auto id = AgentId::random();
    REQUIRE(store->open(id, key_of(1), {.keep_bytes = keep}, rate));
    watch(id);
    return id;
  }
  void watch(const AgentId& id) {
    store->subscribe(id, [this] { signal.notify(); });
  }
  LogWriter attach(const AgentId& id, Generation generation = Generation{1}) {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    REQUIRE(store->attach(id, generation, std::move(pipe->first)));
    return LogWriter(std::move(pipe->second));
  }
  std::vector<LogLine> lines(const AgentId& id) {
    auto page = store->read(id, {.limit = 10'000});
    REQUIRE(page);
    return std::move(*page);
  }
  bool has_lines(const AgentId& id, std::size_t n) {
    return signal.wait([&] { return lines(id).size() >= n; });
  }
  std::size_t limit_count() {
    std::lock_guard lock(mutex);
    return limits.size();
  }
  void finish(const AgentId& id, Generation generation = Generation{1}) {
    std::atomic<bool> done = false;
    store->finish(id, generation, [&] {
      done = true;
      signal.notify();
    });
    REQUIRE(signal.wait([&] { return done.load(); }));
  }
};

TEST_CASE("what a worker writes is read back, and the follower is woken") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("hello", LogStream::kStdout, s.clock.wall().count());
  worker.line("oops", LogStream::kStderr);
  REQUIRE(s.has_lines(id, 2));
  auto lines = s.lines(id);
  CHECK(texts(lines) == std::vector<std::string>{"hello", "oops"});
  CHECK(lines[1].stream == LogStream::kStderr);
  auto usage = s.store->usage(id);
  CHECK(usage.lines == 2);
  CHECK(usage.bytes == 9);
  CHECK(usage.stored_bytes > 0);
}

TEST_CASE("a log is read while no instance runs, also by the next control") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("before");
  s.finish(id);
  s.store = s.make();
  CHECK(s.store->read(id, {}).error().code == Code::kNotFound);
  REQUIRE(s.store->open(id, key_of(1), {}, 0));
  CHECK(texts(s.lines(id)) == std::vector<std::string>{"before"});
}

TEST_CASE(
    "finish takes all that is in the pipe, whatever the rate, and says once that it is done") {
  Store s;
  auto id = s.agent(1000);
  auto worker = s.attach(id);
  for (int i = 0; i < 200; ++i) worker.line(fmt::format("{:04}{}", i, std::string(200, '.')));
  s.finish(id);
  CHECK(s.lines(id).size() == 200);
  s.finish(id);  // not attached any more: done at once
}

TEST_CASE("an end in the middle of a frame is noted, the lines before it are kept") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("whole");
  std::string frame;
  append_log_frame({.seq = 2, .text = "torn by kill -9"}, frame);
  worker.raw(frame.substr(0, frame.size() - 3));
  worker.close_end();
  s.finish(id);
  auto lines = s.lines(id);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].text == "whole");
  CHECK(lines[1].stream == LogStream::kSystem);
}

TEST_CASE("a frame written in pieces is one line") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  std::string frame;
  append_log_frame({.seq = 1, .text = std::string(LogFrame::kMaxText, 'z')}, frame);
  for (char c : frame) worker.raw(std::string(1, c));
  REQUIRE(s.has_lines(id, 1));
  CHECK(s.lines(id)[0].text == std::string(LogFrame::kMaxText, 'z'));
}

TEST_CASE("garbage closes that worker's pipe, with a line and an event; its neighbour goes on") {
  Store s;
  auto bad = s.agent();
  auto good = s.agent();
  auto hostile = s.attach(bad);
  auto honest = s.attach(good);
  hostile.line("fine so far");
  hostile.raw(std::string(1000, '\xff'));
  REQUIRE(s.has_lines(bad, 2));
  auto lines = s.lines(bad);
  CHECK(lines[0].text == "fine so far");
  CHECK(lines[1].stream == LogStream::kSystem);
  REQUIRE(s.signal.wait([&] { return s.limit_count() == 1; }));
  honest.line("still here");
  REQUIRE(s.has_lines(good, 1));
  s.finish(bad);
  CHECK(s.lines(bad).size() == 2);
}

TEST_CASE("gaps and numbers that go back are noted, nothing is stored twice") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("one");
  worker.skip_to(9);
  worker.line("ten");
  worker.skip_to(4);
  worker.line("five");
  worker.skip_to(10);
  worker.line("eleven");
  s.finish(id);
  auto lines = s.lines(id);
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].text == "one");
  CHECK(lines[1].text == "8 log lines are missing here");
  CHECK(lines[2].text == "ten");
  CHECK(lines[3].text.find("number 5 came after number 10") != std::string::npos);
  CHECK(lines[4].text == "eleven");
}

TEST_CASE("a flood is slowed down to its rate, all of it is kept, and one event tells") {
  Store s;
  auto id = s.agent(64 * 1024);  // burst 128 KiB
  auto worker = s.attach(id);
  int capacity = ::fcntl(worker.fd(), F_SETPIPE_SZ, 1 << 20);
  REQUIRE(capacity == 1 << 20);
  constexpr int kLines = 900;  // about 900 KiB
  for (int i = 0; i < kLines; ++i)
    worker.line(fmt::format("{:04}{}", i, std::string(1000 - 28, '.')));  // frames of 1,000 bytes
  REQUIRE(s.signal.wait([&] { return s.limit_count() == 1; }));
  auto taken = s.store->usage(id).bytes;
  CHECK(taken >= 120 * 1024);
  CHECK(taken <= 200 * 1024);
  std::uint64_t total = kLines * (1000 - 24);
  int steps = 0;
  for (; s.store->usage(id).bytes < total;
       ++steps) {  // each second allows 64 KiB, frames' headers included
    auto wanted =
        std::min<std::uint64_t>(total, taken + static_cast<std::uint64_t>(steps) * 60 * 1024);
    s.clock.step(seconds(1));
    REQUIRE(s.signal.wait([&] { return s.store->usage(id).bytes >= wanted; }));
    REQUIRE(s.store->usage(id).bytes <= taken + static_cast<std::uint64_t>(steps + 2) * 66 * 1024);
  }
  CHECK(steps >= 11);
  CHECK(s.store->usage(id).throttled >=
        seconds(1));  // what passes on a fake clock before the store looks is not waited
  CHECK(s.lines(id).size() == kLines);
  CHECK(s.limit_count() <= 4);  // one in ten seconds
}

TEST_CASE("an agent at its rate does not hold up its neighbour") {
  Store s;
  auto noisy = s.agent(1024);
  auto quiet = s.agent(1024);
  auto flood = s.attach(noisy);
  auto other = s.attach(quiet);
  for (int i = 0; i < 60; ++i) flood.line(std::string(1000, 'x'));
  REQUIRE(s.signal.wait([&] { return s.limit_count() == 1; }));
  other.line("quick");
  CHECK(s.has_lines(quiet, 1));
  CHECK(s.store->usage(noisy).lines < 60);
}

TEST_CASE("lines of Flodea's own and structured ones stand among the agent's") {
  Store s;
  auto id = s.agent();
  REQUIRE(s.store->append(id, Generation{3}, LogStream::kSystem, "started"));
  REQUIRE(s.store->append(id, Generation{3}, LogStream::kStructured, R"({"level":"info"})"));
  REQUIRE(s.has_lines(id, 2));
  auto lines = s.lines(id);
  CHECK(lines[0].stream == LogStream::kSystem);
  CHECK(lines[0].generation == 3);
  CHECK(lines[1].stream == LogStream::kStructured);
  CHECK(s.store->append(AgentId::random(), Generation{1}, LogStream::kSystem, "x").error().code ==
        Code::kNotFound);
}

TEST_CASE("a long appended line is split as a worker's is") {
  Store s;
  auto id = s.agent();
  REQUIRE(s.store->append(id, Generation{1}, LogStream::kSystem, std::string(20'000, 'l')));
  REQUIRE(s.has_lines(id, 3));
  auto lines = s.lines(id);
  CHECK(lines[0].partial);
  CHECK(lines[1].partial);
  CHECK(!lines[2].partial);
}

TEST_CASE("structured lines are held to the agent's rate with an answer, not in silence") {
  Store s;
  auto id = s.agent(1000);
  Status status;
  int accepted = 0;
  while (status && accepted < 100) {
    status = s.store->append(id, Generation{1}, LogStream::kStructured, std::string(100, 's'));
    if (status) ++accepted;
  }
  CHECK(status.error().code == Code::kResourceExhausted);
  CHECK(accepted >= 16);  // 2 s of burst, in lines of 124 bytes
  CHECK(accepted <= 18);
  CHECK(s.store->append(id, Generation{1}, LogStream::kSystem, "ours"));
  s.clock.step(seconds(1));
  CHECK(s.store->append(id, Generation{1}, LogStream::kStructured, "again"));
}

TEST_CASE("with a full disk the pipe waits, one event tells, and afterwards all lines are there") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("one");
  REQUIRE(s.has_lines(id, 1));
  std::optional<FullDisk> full(std::in_place, s.store->usage(id).stored_bytes + 10);
  worker.line("two");
  REQUIRE(s.store->append(id, Generation{1}, LogStream::kSystem, "ours"));
  REQUIRE(s.signal.wait([&] { return s.limit_count() == 1; }));
  CHECK(s.lines(id).size() == 1);
  full.reset();
  REQUIRE(s.has_lines(id, 3));
  worker.line("three");
  REQUIRE(s.has_lines(id, 4));
  CHECK(s.limit_count() == 1);
  auto found = texts(s.lines(id));
  std::ranges::sort(found);
  CHECK(found == std::vector<std::string>{"one", "ours", "three", "two"});
}

TEST_CASE("finish with a full disk gives up after its patience, and an event says what was lost") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("one");
  REQUIRE(s.has_lines(id, 1));
  std::optional<FullDisk> full(std::in_place, s.store->usage(id).stored_bytes + 10);
  worker.line("two");
  std::atomic<bool> done = false;
  s.store->finish(id, Generation{1}, [&] { done = true; });
  REQUIRE(s.signal.wait([&] { return s.limit_count() == 1; }));
  CHECK(!done);
  REQUIRE(s.signal.wait([&] {
    s.clock.step(seconds(11));
    return done.load();
  }));
  full.reset();
  CHECK(s.limits.back().find("27 bytes of log could not be written") != std::string::npos);
}

TEST_CASE("a removed agent's log is gone, and its pipe closed") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("one");
  REQUIRE(s.has_lines(id, 1));
  REQUIRE(s.store->remove(id));
  CHECK(!std::filesystem::exists(s.dir.path() + "/" + id.text()));
  CHECK(s.store->read(id, {}).error().code == Code::kNotFound);
  s.finish(id);
  std::signal(SIGPIPE, SIG_IGN);
  CHECK(::write(worker.fd(), "x", 1) == -1);
  REQUIRE(s.store->remove(id));
}

TEST_CASE("the log of an agent that was never opened is removed by its id") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  worker.line("one");
  s.finish(id);
  s.store = s.make();
  REQUIRE(std::filesystem::exists(s.dir.path() + "/" + id.text()));
  REQUIRE(s.store->remove(id));
  CHECK(!std::filesystem::exists(s.dir.path() + "/" + id.text()));
}

TEST_CASE("another key for an open log is refused, another policy is taken") {
  Store s;
  auto id = s.agent();
  CHECK(s.store->open(id, key_of(2), {}, 0).error().code == Code::kFailedPrecondition);
  CHECK(s.store->open(id, key_of(1), {.keep_bytes = kMiB}, 100));
}

TEST_CASE("after unsubscribe no call comes, and a subscriber may end itself") {
  Store s;
  auto id = s.agent();
  auto worker = s.attach(id);
  std::atomic<int> calls = 0;
  std::atomic<std::uint64_t> own = 0;
  own = s.store->subscribe(id, [&] {
    ++calls;
    s.store->unsubscribe(id, own);
  });
  worker.line("one");
  REQUIRE(s.has_lines(id, 1));
  worker.line("two");
  REQUIRE(s.has_lines(id, 2));
  s.finish(id);
  CHECK(calls == 1);
}

TEST_CASE("a worker that empties its own pipe or fills it with splinters stalls only itself") {
  Store s;
  auto id = s.agent();
  auto other = s.agent();
  auto pipe = make_pipe(O_DIRECT);  // one byte a slot
  REQUIRE(pipe);
  auto copy = pipe->first.duplicate();
  REQUIRE(copy);
  REQUIRE(s.store->attach(id, Generation{1}, std::move(pipe->first)));
  REQUIRE(::fcntl(pipe->second.get(), F_SETFL, O_NONBLOCK | O_DIRECT) == 0);
  std::string frame;
  append_log_frame({.seq = 1, .text = std::string(5000, 'x')}, frame);
  std::size_t sent = 0;
  while (sent < frame.size() && ::write(pipe->second.get(), &frame[sent], 1) == 1) ++sent;
  CHECK(sent < frame.size());  // full of less than a frame
  auto honest = s.attach(other);
  honest.line("unhindered");
  CHECK(s.has_lines(other, 1));
  char buffer[4096];
  REQUIRE(::fcntl(copy->get(), F_SETFL, O_NONBLOCK) == 0);
  while (::read(copy->get(), buffer, sizeof buffer) > 0) {
  }
  honest.line("still");
  CHECK(s.has_lines(other, 2));
  s.finish(id);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("an idle agent costs at most 2 KiB of memory") {
  Store s;
  auto warm = s.agent();
  auto writer = s.attach(warm);
  writer.line("warm");
  REQUIRE(s.has_lines(warm, 1));
  constexpr std::size_t kAgents = 100;
  std::vector<AgentId> ids;
  std::vector<LogWriter> workers;
  ids.reserve(kAgents);
  workers.reserve(kAgents);
  auto before = ::mallinfo2();
  for (std::size_t i = 0; i < kAgents; ++i) {
    ids.push_back(s.agent());
    workers.push_back(s.attach(ids.back()));
    workers.back().line("one line");
    REQUIRE(s.has_lines(ids.back(), 1));
  }
  auto after = ::mallinfo2();
  auto each = (after.uordblks - before.uordblks) / kAgents;
  WARN("bytes of heap per idle agent, with one subscriber: " << each);
  CHECK(each <= 2048);
}
#endif

}  // namespace
}  // namespace flodea::control
