// Against a prober of the test's own, which says what it should not.
#include "worker/probes.h"

#include <sys/socket.h>

#include <cstring>

#include <catch2/catch_test_macros.hpp>

namespace flodea::worker {
namespace {

using namespace std::chrono_literals;

struct Bench final : Probes::Listener {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  SystemClock clock;
  UniqueFd page_fd = std::move(*make_status_page());
  StatusPageWriter page = std::move(*StatusPageWriter::map(page_fd.get()));
  StatusPageReader reader = std::move(*StatusPageReader::map(page_fd.get()));
  int told = 0;
  UniqueFd prober;
  Probes probes{*loop, page, clock, *this};

  Bench() {
    auto pair = std::move(*make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
    prober = std::move(pair.first);
    REQUIRE(probes.start(std::move(pair.second), {{.kind = ProbeKind::kLiveness,
                                                   .command = {"x"},
                                                   .every = 1h,
                                                   .first_every = 1h,
                                                   .timeout = 1h}}));
    probes.begin();
  }
  void on_probe_result(ProbeKind, std::string_view) override { ++told; }
  void on_probe_slow(ProbeKind) override {}

  ProbeRequest asked() {
    ProbeRequest request{};
    REQUIRE(::recv(prober.get(), &request, sizeof request, 0) == sizeof request);
    return request;
  }
  void answer(const ProbeAnswer& answer) {
    [[maybe_unused]] ssize_t n = ::send(prober.get(), &answer, sizeof answer, MSG_NOSIGNAL);
    REQUIRE(loop->run_once(0));
  }
  SeenProbe seen() const { return reader.read_health()->probes[2]; }
};

}  // namespace

TEST_CASE("an answer to what was asked is recorded") {
  Bench b;
  ProbeRequest request = b.asked();
  CHECK(request.probe == 2);
  b.answer({.probe = 2, .run = request.run, .outcome = ProbeOutcome::kSucceeded});
  CHECK(b.seen().runs == 1);
  CHECK(b.seen().succeeded);
  CHECK(b.told == 1);
}

TEST_CASE("a prober that says what nobody asked for is not listened to any more") {
  struct Row {
    const char* what;
    ProbeAnswer answer;
  };
  const Row rows[] = {
      {"of another probe", {.probe = 0, .run = 1, .outcome = ProbeOutcome::kSucceeded}},
      {"of no probe", {.probe = 99, .run = 1, .outcome = ProbeOutcome::kSucceeded}},
      {"of another run", {.probe = 2, .run = 7, .outcome = ProbeOutcome::kSucceeded}},
      {"no outcome", {.probe = 2, .run = 1, .outcome = ProbeOutcome::kNone}},
      {"the worker's outcome", {.probe = 2, .run = 1, .outcome = ProbeOutcome::kNoProber}},
      {"more output than fits",
       {.probe = 2, .run = 1, .outcome = ProbeOutcome::kSucceeded, .output_bytes = 257}},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    Bench b;
    b.asked();
    b.answer(row.answer);
    CHECK(b.seen().outcome == ProbeOutcome::kNoProber);
    CHECK(b.seen().failures == 1);
    char byte = 0;
    CHECK(::recv(b.prober.get(), &byte, 1, 0) == 0);  // its socket is closed
  }
}

TEST_CASE("a flood of answers costs one of them, and the socket is closed") {
  Bench b;
  ProbeRequest request = b.asked();
  ProbeAnswer answer{.probe = 2, .run = request.run, .outcome = ProbeOutcome::kSucceeded};
  int sent = 0;
  while (::send(b.prober.get(), &answer, sizeof answer, MSG_NOSIGNAL) > 0) ++sent;
  REQUIRE(sent > 10);
  REQUIRE(b.loop->run_once(0));
  CHECK(b.told == 1);
  CHECK(b.seen().runs == 1);
  CHECK(::send(b.prober.get(), &answer, sizeof answer, MSG_NOSIGNAL) < 0);
}

TEST_CASE("a message that is cut short, and the end of the prober, end the probe's run") {
  Bench b;
  b.asked();
  SECTION("short") { REQUIRE(::send(b.prober.get(), "x", 1, 0) == 1); }
  SECTION("end") { b.prober.reset(); }
  REQUIRE(b.loop->run_once(0));
  CHECK(b.seen().outcome == ProbeOutcome::kNoProber);
}

TEST_CASE("nothing is run once the agent is to stop") {
  Bench b;
  ProbeRequest request = b.asked();
  b.probes.end();
  b.answer({.probe = 2, .run = request.run, .outcome = ProbeOutcome::kSucceeded});
  CHECK(b.seen().runs == 0);
  CHECK(b.told == 0);
}

}  // namespace flodea::worker
