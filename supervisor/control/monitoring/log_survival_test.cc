// The promise measured: kill -9 of the store's process at any moment loses no line that had reached
// the kept pipe and doubles none.
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <random>

#include "supervisor/control/monitoring/log_pipe.h"
#include "supervisor/control/monitoring/segment_log.h"
#include "supervisor/control/monitoring/testing/support.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control {
namespace {

using namespace test;

constexpr int kKills = 100;
constexpr unsigned kSeed = 20260917;

struct World {
  TemporaryDir dir;
  AgentId agent = AgentId::random();
  FdPair kept = *make_pipe();  // flodead's: it outlives every control
  FdPair told = *make_pipe();  // a byte for every chunk a store has written
};

// A worker: frames of many sizes, as fast as the pipe takes them, until it is told to stop.
[[noreturn]] void run_worker(World& world, int stop) {
  std::minstd_rand random(kSeed);
  std::uint64_t seq = 0;
  for (pollfd end{stop, POLLIN, 0}; ::poll(&end, 1, 0) == 0;) {
    std::string bytes;
    auto frames = 1 + random() % 20;
    for (unsigned i = 0; i < frames; ++i) {
      auto size = random() % 50 == 0 ? random() % LogFrame::kMaxText : random() % 120;
      append_log_frame(
          {.seq = ++seq,
           .text = fmt::format("{}:{}", seq, std::string(size, '.')).substr(0, LogFrame::kMaxText)},
          bytes);
    }
    if (!write_all(world.kept.second.get(), bytes)) ::_exit(1);
  }
  auto last = fmt::format("{}", seq);
  (void)replace_file(world.dir.open().get(), "written", last, 0600);
  ::_exit(0);
}

std::unique_ptr<LogStore> make_store(World& world, Clock& clock) {
  auto store = make_log_store({.directory = world.dir.open(), .clock = clock});
  if (!store || !(*store)->open(world.agent, key_of(1), {.keep_bytes = 1024 * kMiB}, 0))
    return nullptr;
  return std::move(*store);
}

[[noreturn]] void run_control(World& world) {
  SystemClock clock;
  auto store = make_store(world, clock);
  auto pipe = world.kept.first.duplicate();
  if (!store || !pipe) ::_exit(1);
  store->subscribe(world.agent, [&] { (void)!::write(world.told.second.get(), "", 1); });
  if (!store->attach(world.agent, Generation{1}, std::move(*pipe))) ::_exit(1);
  for (;;) ::pause();
}

template <class Body>
pid_t fork_child(Body body) {
  pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails leaves nobody behind
    body();
  }
  return pid;
}

// Waits until a store has written `chunks` more of them.
void await_chunks(World& world, int chunks) {
  char byte;
  for (int i = 0; i < chunks; ++i) {
    pollfd readable{world.told.first.get(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 20'000) == 1);
    REQUIRE(::read(world.told.first.get(), &byte, 1) == 1);
  }
}

void kill_and_reap(pid_t pid) {
  REQUIRE(::kill(pid, SIGKILL) == 0);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSIGNALED(status));  // it had not failed by itself
}

void empty(int pipe) {
  char buffer[4096];
  for (pollfd readable{pipe, POLLIN, 0}; ::poll(&readable, 1, 0) == 1;)
    REQUIRE(::read(pipe, buffer, sizeof buffer) > 0);
}

TEST_CASE("kill -9 of control at any moment loses no log line and doubles none") {
  World world;
  auto stop = make_pipe();
  REQUIRE(stop);
  pid_t worker = fork_child([&] { run_worker(world, stop->first.get()); });
  std::minstd_rand random(kSeed);
  for (int i = 0; i < kKills; ++i) {
    pid_t control = fork_child([&] { run_control(world); });
    await_chunks(world, 1 + static_cast<int>(random() % 6));
    for (unsigned spin = random() % 20'000; spin > 0; --spin)
      __asm__ volatile("");  // between two system calls, too
    kill_and_reap(control);
    empty(world.told.first.get());
  }
  REQUIRE(write_all(stop->second.get(),
                    "."));  // the worker still writes what it has begun: someone must read it
  pid_t control = fork_child([&] { run_control(world); });
  int status = 0;
  REQUIRE(::waitpid(worker, &status, 0) == worker);
  REQUIRE(status == 0);
  kill_and_reap(control);

  SystemClock clock;
  auto store = make_store(world, clock);
  REQUIRE(store);
  auto pipe = world.kept.first.duplicate();
  REQUIRE(pipe);
  REQUIRE(store->attach(world.agent, Generation{1}, std::move(*pipe)));
  Signal signal;
  std::atomic<bool> done = false;
  store->finish(world.agent, Generation{1}, [&] {
    done = true;
    signal.notify();
  });
  REQUIRE(signal.wait([&] { return done.load(); }));

  std::uint64_t expected = 0;
  LogQuery query{.limit = 5000};
  for (;;) {
    auto page = store->read(world.agent, query);
    REQUIRE(page);
    if (page->empty()) break;
    query.cursor = page->back().cursor;
    for (const LogLine& line : *page)
      REQUIRE(line.text.starts_with(fmt::format("{}:", ++expected)));
  }
  auto written = read_file(world.dir.open().get(), "written", 100);
  REQUIRE(written);
  CHECK(expected == std::stoull(*written));
  CHECK(expected > 1000);
  WARN("kills " << kKills << ", lines " << expected << ", lost 0, doubled 0");
}

TEST_CASE("killed between storing and consuming: the next one skips what is stored") {
  World world;
  FakeClock clock;
  LogWriter worker(std::move(world.kept.second));
  for (int i = 0; i < 10; ++i) worker.line(fmt::format("line {}", i));
  auto keys = *LogKeyArena::create();
  auto logs = world.dir.open();
  auto tee = LogTee::create();
  REQUIRE(tee);
  {
    auto log = SegmentLog::open({logs.get(), world.agent, *keys->store(key_of(1)), kMiB, &clock});
    REQUIRE(log);
    auto seen = tee->peek(world.kept.first.get(), LogTee::kMaxPeek);
    REQUIRE(seen);
    bool resumed = true;
    auto batch = read_frames(*seen, 0, resumed);
    CHECK(batch.records.size() == 10);
    REQUIRE((*log)->append(Generation{1}, batch.records, batch.last_seq));
  }  // nothing consumed: reading again without the position would store all of it twice
  bool resumed = true;
  auto again = tee->peek(world.kept.first.get(), LogTee::kMaxPeek);
  REQUIRE(again);
  CHECK(read_frames(*again, 0, resumed).records.size() == 10);

  auto store = make_store(world, clock);
  REQUIRE(store);
  auto pipe = world.kept.first.duplicate();
  REQUIRE(pipe);
  REQUIRE(store->attach(world.agent, Generation{1}, std::move(*pipe)));
  worker.line("line 10");
  Signal signal;
  std::atomic<bool> done = false;
  store->finish(world.agent, Generation{1}, [&] {
    done = true;
    signal.notify();
  });
  REQUIRE(signal.wait([&] { return done.load(); }));
  auto lines = store->read(world.agent, {});
  REQUIRE(lines);
  REQUIRE(lines->size() == 11);
  for (std::size_t i = 0; i < 11; ++i) CHECK((*lines)[i].text == fmt::format("line {}", i));
}

}  // namespace
}  // namespace flodea::control
