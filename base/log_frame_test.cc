#include "base/log_frame.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {
namespace {
LogFrame sample(std::uint64_t seq, std::string text) {
  return {.seq = seq,
          .time_ns = 1'700'000'000'000'000'000,
          .stream = LogStream::kStderr,
          .flags = LogFrame::kPartial,
          .text = std::move(text)};
}
}  // namespace

TEST_CASE("a frame comes back as it went in, and says how long it was") {
  std::string pipe;
  append_log_frame(sample(7, "hello"), pipe);
  append_log_frame(sample(8, ""), pipe);
  auto first = parse_log_frame(pipe).value().value();
  CHECK(first.frame.seq == 7);
  CHECK(first.frame.text == "hello");
  CHECK(first.frame.stream == LogStream::kStderr);
  CHECK(first.frame.flags == LogFrame::kPartial);
  auto second = parse_log_frame(std::string_view(pipe).substr(first.bytes)).value().value();
  CHECK(second.frame.seq == 8);
  CHECK(first.bytes + second.bytes == pipe.size());
}

TEST_CASE("every prefix of a frame is incomplete, never wrong") {
  std::string pipe;
  append_log_frame(sample(1, "some text"), pipe);
  for (std::size_t n = 0; n < pipe.size(); ++n)
    CHECK_FALSE(parse_log_frame(std::string_view(pipe).substr(0, n)).value().has_value());
}

TEST_CASE("impossible lengths, versions and streams are refused") {
  std::string good;
  append_log_frame(sample(1, "x"), good);
  auto broken = [&](std::size_t at, char byte) {
    std::string copy = good;
    copy[at] = byte;
    return parse_log_frame(copy);
  };
  CHECK_FALSE(broken(3, 0x7f));  // a length of 2 GB
  CHECK_FALSE(broken(0, 1));     // shorter than the fixed part
  CHECK_FALSE(broken(4, 9));     // version
  CHECK_FALSE(broken(5, 9));     // stream
}

}  // namespace flodea
