#include "supervisor/control/guard/frame_scanner.h"

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/guard/testing/frames.h"

namespace flodea::control {
namespace {

using namespace testing;
constexpr Nanos kNow = std::chrono::seconds(100);

struct Fixture {
  explicit Fixture(FrameLimits l = {}, double calls = 1000)
      : limits(l), budget(limits, calls), scanner(limits, budget) {
    CHECK(request(kPreface).verdict == Verdict::kPass);
  }
  ScanResult request(const std::string& bytes, Nanos now = kNow) {
    return scanner.scan_request(as_bytes(bytes), now);
  }
  std::string reply(const std::string& bytes) {
    std::string out;
    scanner.filter_reply(as_bytes(bytes), out);
    return out;
  }
  std::string closed_for(const std::string& bytes) {
    ScanResult result = request(bytes);
    return result.verdict == Verdict::kClose ? result.limit : "";
  }

  FrameLimits limits;
  RateBudget budget;
  FrameScanner scanner;
};

}  // namespace

TEST_CASE("a connection that does not begin with the preface is closed") {
  FrameLimits limits;
  RateBudget budget(limits, 1000);
  FrameScanner scanner(limits, budget);
  std::string bytes = "GET / HTTP/1.1\r\n";
  ScanResult result = scanner.scan_request(as_bytes(bytes), kNow);
  CHECK(result.verdict == Verdict::kClose);
  CHECK(std::string(result.limit) == "preface");
}

TEST_CASE("what a gRPC client sends passes, also one byte at a time") {
  std::string call = std::string(kPreface) + settings() + headers(1) + data(1, 100, kEndStream) +
                     window_update(0, 5) + ping();
  FrameLimits limits;
  RateBudget budget(limits, 1000);
  FrameScanner scanner(limits, budget);
  for (char c : call) {
    ScanResult result = scanner.scan_request(as_bytes(std::string(1, c)), kNow);
    REQUIRE(result.verdict == Verdict::kPass);
    REQUIRE(result.consumed == 1);
  }
  CHECK(scanner.greeted());
  CHECK(scanner.open_streams() == 1);
}

TEST_CASE("a frame longer than 16,384 bytes is not waited for") {
  Fixture f;
  CHECK(f.closed_for(header(1 << 20, kSettings, 0, 0)) == "frame_bytes");
}

TEST_CASE("streams are bounded whether or not the client acknowledges settings") {
  Fixture f;
  std::uint32_t id = 1;
  for (; f.scanner.open_streams() < f.limits.open_streams; id += 2) {
    REQUIRE(f.request(headers(id)).verdict == Verdict::kPass);
  }
  SECTION("one more is too many") { CHECK(f.closed_for(headers(id)) == "open_streams"); }
  SECTION("unless the server has ended one") {
    f.reply(headers(1, kEndHeaders | kEndStream));
    CHECK(f.request(headers(id)).verdict == Verdict::kPass);
  }
  SECTION("or the agent has reset one") {
    f.request(reset(3));
    CHECK(f.request(headers(id)).verdict == Verdict::kPass);
  }
  SECTION("or the server has reset one") {
    f.reply(reset(5));
    CHECK(f.request(headers(id)).verdict == Verdict::kPass);
  }
}

TEST_CASE("calls beyond the rate wait until there is a token, and then go on") {
  Fixture f({}, 10);  // 20 at once
  for (std::uint32_t i = 0; i < 20; ++i) {
    REQUIRE(f.request(headers(2 * i + 1)).verdict == Verdict::kPass);
  }
  std::string more = headers(41) + headers(43);
  ScanResult wait = f.request(more);
  REQUIRE(wait.verdict == Verdict::kWait);
  CHECK(std::string(wait.limit) == "calls");
  CHECK(wait.consumed == 8);  // the frame's header but its last byte
  CHECK(wait.until == kNow + std::chrono::milliseconds(100));
  CHECK(wait.new_wait);
  std::string rest = more.substr(wait.consumed);
  CHECK_FALSE(f.request(rest).new_wait);
  ScanResult next = f.request(rest, wait.until);
  CHECK(next.verdict == Verdict::kWait);  // the first passed, the second waits
  CHECK(next.consumed == headers(41).size());
  CHECK(next.new_wait);
}

TEST_CASE("payload costs calls, in both directions") {
  Fixture f({}, 10);
  REQUIRE(f.request(headers(1)).verdict == Verdict::kPass);
  SECTION("sent") {
    f.reply(window_update(0, 1'000'000) + window_update(1, 1'000'000));
    for (int i = 0; i < 19; ++i) REQUIRE(f.request(data(1, 16'384)).verdict == Verdict::kPass);
  }
  SECTION("received") {
    for (int i = 0; i < 19; ++i) f.reply(data(1, 16'384));
  }
  CHECK(f.request(headers(3)).verdict == Verdict::kWait);
}

TEST_CASE("windows bind the agent, of a stream and of the connection") {
  Fixture f;
  REQUIRE(f.request(headers(1) + headers(3)).verdict == Verdict::kPass);
  std::string most = data(1, 16'384) + data(1, 16'384) + data(1, 16'384) + data(1, 16'383);
  REQUIRE(f.request(most).verdict == Verdict::kPass);
  SECTION("of the connection") { CHECK(f.closed_for(data(3, 1)) == "flow_control"); }
  SECTION("of the stream") {
    f.reply(window_update(0, 1000));
    CHECK(f.closed_for(data(1, 1)) == "flow_control");
  }
  SECTION("until both are wider") {
    f.reply(window_update(0, 1000) + window_update(1, 600));
    CHECK(f.request(data(1, 600)).verdict == Verdict::kPass);
    CHECK(f.request(data(3, 400)).verdict == Verdict::kPass);
    CHECK(f.closed_for(data(3, 1)) == "flow_control");
  }
}

TEST_CASE("a header block is bounded over all its frames") {
  Fixture f;
  SECTION("large continuations") {
    REQUIRE(f.request(headers(1, 0, 10'000)).verdict == Verdict::kPass);
    CHECK(f.closed_for(continuation(1, 10'000)) == "header_block");
  }
  SECTION("empty ones, without end") {
    REQUIRE(f.request(headers(1, 0, 0)).verdict == Verdict::kPass);
    std::string reason;
    for (int i = 0; i < 300 && reason.empty(); ++i) reason = f.closed_for(continuation(1, 0));
    CHECK(reason == "header_block");
  }
  SECTION("nothing may come between") {
    REQUIRE(f.request(headers(1, 0)).verdict == Verdict::kPass);
    CHECK(f.closed_for(data(1, 1)) == "protocol");
  }
  SECTION("and it ends") {
    REQUIRE(f.request(headers(1, 0)).verdict == Verdict::kPass);
    REQUIRE(f.request(continuation(1, 5, kEndHeaders)).verdict == Verdict::kPass);
    CHECK(f.request(data(1, 1)).verdict == Verdict::kPass);
  }
}

TEST_CASE("frames that no client sends close the connection") {
  CHECK(Fixture().closed_for(headers(2)) == "protocol");
  CHECK(Fixture().closed_for(headers(0)) == "protocol");
  CHECK(Fixture().closed_for(data(1, 5)) == "protocol");
  CHECK(Fixture().closed_for(reset(1)) == "protocol");
  CHECK(Fixture().closed_for(continuation(1, 5)) == "protocol");
  CHECK(Fixture().closed_for(header(4, kPushPromise, kEndHeaders, 1)) == "protocol");
}

TEST_CASE("floods of control frames close the connection") {
  for (const std::string& frame :
       {ping(), settings(), header(5, kPriority, 0, 1) + "12345", header(0, 0x42, 0, 0)}) {
    Fixture f;
    int passed = 0;
    while (passed < 10'000 && f.request(frame).verdict == Verdict::kPass) ++passed;
    CHECK(passed == f.limits.control_burst);
    CHECK(f.closed_for(frame) == "control_frames");
  }
}

TEST_CASE("rapid reset is slowed to the reset rate") {
  Fixture f({}, 100'000);
  std::uint32_t id = 1;
  ScanResult result;
  for (; id < 10'000; id += 2) {
    REQUIRE(f.request(headers(id)).verdict == Verdict::kPass);
    result = f.request(reset(id));
    if (result.verdict != Verdict::kPass) break;
  }
  CHECK(result.verdict == Verdict::kWait);
  CHECK(std::string(result.limit) == "resets");
  CHECK(id == 2 * f.limits.resets_burst + 1);
}

TEST_CASE("empty DATA and WINDOW_UPDATE frames are slowed to the frame rate") {
  for (const std::string& frame : {data(1, 0), window_update(1, 1)}) {
    Fixture f;
    f.request(headers(1));
    int passed = 0;
    while (passed < 100'000 && f.request(frame).verdict == Verdict::kPass) ++passed;
    CHECK(passed == f.limits.frames_burst);
  }
}

TEST_CASE("replies pass unchanged but for windows of streams") {
  Fixture f;
  f.request(headers(1));
  std::string frames =
      settings() + window_update(0, 70'000) + headers(1) + data(1, 10, kEndStream) + ping();
  CHECK(f.reply(frames) == frames);
  std::string bytewise;
  for (char c : frames) bytewise += f.reply(std::string(1, c));
  CHECK(bytewise == frames);
}

TEST_CASE("windows are granted within the credit; the oldest stream always gets its own") {
  Fixture f({.window_credit = 1000});
  for (std::uint32_t id : {1u, 3u, 5u, 7u}) f.request(headers(id));
  CHECK(f.reply(window_update(3, 600)) == window_update(3, 600));
  CHECK(f.reply(window_update(5, 600)).empty());                     // over the credit
  CHECK(f.reply(window_update(7, 300)) == window_update(7, 300));    // still within
  CHECK(f.reply(window_update(1, 5000)) == window_update(1, 5000));  // the oldest
  CHECK(f.reply(window_update(5, 50)).empty());
  SECTION("a stream's end frees its credit for those that wait") {
    std::string end = headers(1, kEndHeaders | kEndStream, 0);
    std::string after_three = headers(3, kEndHeaders | kEndStream, 0);
    CHECK(f.reply(end) == end);  // 900 granted, 650 held: 3 is the oldest, and holds none back
    CHECK(f.reply(after_three) == after_three + window_update(5, 650));
  }
  SECTION("a reset by the agent does too, once no frame is half out") {
    std::string frame = data(7, 4);
    CHECK(f.reply(frame.substr(0, 11)) == frame.substr(0, 11));
    f.request(reset(1) + reset(3));
    std::string out;
    f.scanner.take_released(out);
    CHECK(out.empty());
    CHECK(f.reply(frame.substr(11)) == frame.substr(11) + window_update(5, 650));
  }
  SECTION("and an update for a stream that has ended is dropped") {
    f.request(reset(3));
    CHECK(f.reply(window_update(3, 10)).empty());
  }
}

TEST_CASE("no stream is granted more than one message") {
  Fixture f({.stream_credit = 5000});
  f.request(headers(1));
  CHECK(f.reply(window_update(1, 4000)) == window_update(1, 4000));
  CHECK(f.reply(window_update(1, 1u << 30)) == window_update(1, 1000));
  CHECK(f.reply(window_update(1, 1u << 30)).empty());
}

TEST_CASE("a released window never splits a header block") {
  Fixture f({.window_credit = 100});
  f.request(headers(1) + headers(3));
  CHECK(f.reply(window_update(1, 50)) == window_update(1, 50));
  CHECK(f.reply(window_update(3, 100)).empty());
  std::string open_block = headers(3, 0, 5);
  CHECK(f.reply(open_block) == open_block);
  f.request(reset(1));
  std::string out;
  f.scanner.take_released(out);
  CHECK(out.empty());
  std::string rest = continuation(3, 5, kEndHeaders);
  CHECK(f.reply(rest) == rest + window_update(3, 100));
}

TEST_CASE("a fresh connection of the same agent brings no fresh burst") {
  FrameLimits limits;
  RateBudget budget(limits, 5);
  for (int i = 0; i < 10; ++i) {
    FrameScanner scanner(limits, budget);
    REQUIRE(scanner.scan_request(as_bytes(kPreface + headers(1)), kNow).verdict == Verdict::kPass);
  }
  FrameScanner scanner(limits, budget);
  CHECK(scanner.scan_request(as_bytes(kPreface + headers(1)), kNow).verdict == Verdict::kWait);
}

TEST_CASE("the server is at a call from its first byte to the first of its reply") {
  constexpr Nanos kAtIt = CallMarks::Row::kAtIt;
  Fixture f;
  f.request(settings());
  CHECK(f.scanner.unanswered() == kNow);
  f.reply(settings(kAck));
  CHECK(f.scanner.unanswered() == Nanos{});
  f.request(headers(1));
  CHECK(f.scanner.unanswered() == kAtIt);
  f.request(data(1, 100, kEndStream));
  CHECK(f.scanner.unanswered() == kAtIt);
  f.reply(headers(1));
  CHECK(f.scanner.unanswered() == Nanos{});
  std::string message = data(1, 100);
  f.request(message.substr(0, 20));  // after a reply
  f.reply(headers(1));
  CHECK(f.scanner.unanswered() == Nanos{});
  f.request(message.substr(20));
  CHECK(f.scanner.unanswered() == kAtIt);
  f.reply(headers(1, kEndHeaders | kEndStream));
  CHECK(f.scanner.unanswered() == Nanos{});
  f.request(window_update(1, 5) + settings(kAck) + ping(kAck));
  CHECK(f.scanner.unanswered() == Nanos{});
}

TEST_CASE("a reply to one call does not hide another, and a reset is never answered") {
  Fixture f;
  f.request(headers(1) + headers(3));
  f.reply(headers(3));
  CHECK(f.scanner.unanswered() == CallMarks::Row::kAtIt);
  f.request(reset(1), kNow + Nanos(3));
  CHECK(f.scanner.unanswered() == kNow + Nanos(3));
  f.request(reset(3), kNow + Nanos(4));  // that was replied to, and goes on
  CHECK(f.scanner.unanswered() == kNow + Nanos(4));
  f.request(data(3, 10), kNow + Nanos(6));  // of a stream that has ended
  CHECK(f.scanner.unanswered() == kNow + Nanos(6));
}

TEST_CASE("an acknowledgement is of one ping or SETTINGS only, and says nothing about a call") {
  Fixture f;
  f.request(ping(), kNow + Nanos(1));
  f.request(settings(), kNow + Nanos(2));
  f.reply(ping(kAck));
  CHECK(f.scanner.unanswered() == kNow + Nanos(2));
  f.request(headers(1));
  f.reply(settings(kAck));
  CHECK(f.scanner.unanswered() == CallMarks::Row::kAtIt);
}

TEST_CASE("a frame whose length is fixed has that length") {
  for (auto [type, flags, length] : {std::tuple{kRstStream, 0, 5u},
                                     {kWindowUpdate, 0, 16'384u},
                                     {kPing, 0, 9u},
                                     {kSettings, int{kAck}, 6u}}) {
    Fixture f;
    f.request(headers(1));
    std::uint32_t stream = type == kRstStream || type == kWindowUpdate ? 1 : 0;
    CHECK(f.closed_for(frame(type, static_cast<std::uint8_t>(flags), stream, zeros(length))) ==
          "protocol");
  }
}

}  // namespace flodea::control
