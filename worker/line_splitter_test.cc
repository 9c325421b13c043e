#include "worker/line_splitter.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace flodea::worker {
namespace {

struct Lines {
  LineSplitter splitter;
  std::vector<std::string> got;  // partial ones end with '+'
  LineSplitter::Emit emit = [this](std::string_view text, bool partial) {
    got.push_back(std::string(text) + (partial ? "+" : ""));
  };
};

}  // namespace

TEST_CASE("lines are cut at newlines wherever the bytes are split") {
  const std::string text = "one\n\ntwo\nthree";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    Lines lines;
    lines.splitter.feed(text.substr(0, at), lines.emit);
    lines.splitter.feed(text.substr(at), lines.emit);
    lines.splitter.finish(lines.emit);
    CHECK(lines.got == std::vector<std::string>{"one", "", "two", "three"});
  }
}

TEST_CASE("a line of exactly the limit is whole, one byte more is split") {
  const std::string full(LogFrame::kMaxText, 'x');
  Lines lines;
  lines.splitter.feed(full + "\n" + full + "y\n", lines.emit);
  CHECK(lines.got == std::vector<std::string>{full, full + "+", "y"});
}

TEST_CASE("a very long line comes in pieces, fed byte by byte or at once") {
  const std::string text(3 * LogFrame::kMaxText + 5, 'x');
  Lines at_once, bytewise;
  at_once.splitter.feed(text + "\n", at_once.emit);
  for (char c : text + "\n") bytewise.splitter.feed({&c, 1}, bytewise.emit);
  REQUIRE(at_once.got.size() == 4);
  CHECK(at_once.got == bytewise.got);
  CHECK(at_once.got.back() == "xxxxx");
}

TEST_CASE("nothing is said at the end of a stream that ended with a newline") {
  Lines lines;
  lines.splitter.feed("a\n", lines.emit);
  lines.splitter.finish(lines.emit);
  CHECK(lines.got == std::vector<std::string>{"a"});
}

}  // namespace flodea::worker
