#include "supervisor/control/monitoring/segment_log.h"

#include <fmt/format.h>

#include "supervisor/control/monitoring/testing/support.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control {
namespace {

using namespace test;

// A log on a directory of its own, to be opened again as the next control would.
// A byte that was there is another one: a fixed one may be there already.
void damage(int fd, std::uint64_t at) {
  char byte = 0;
  REQUIRE(::pread(fd, &byte, 1, static_cast<off_t>(at)) == 1);
  byte = static_cast<char>(~byte);
  REQUIRE(::pwrite(fd, &byte, 1, static_cast<off_t>(at)) == 1);
}

struct Fixture {
  TemporaryDir dir;
  UniqueFd logs = dir.open();
  FakeClock clock;
  AgentId agent = AgentId::random();
  std::shared_ptr<LogKeyArena> keys = *LogKeyArena::create();
  std::uint64_t keep = 16 * kMiB;
  std::unique_ptr<SegmentLog> log = open();
  std::uint64_t seq = 0;

  std::unique_ptr<SegmentLog> open(unsigned char key = 1) {
    auto opened = SegmentLog::open({logs.get(), agent, *keys->store(key_of(key)), keep, &clock});
    REQUIRE(opened);
    return std::move(*opened);
  }
  Status add(const std::string& text, Generation generation = Generation{1}) {
    LogRecord record{LogStream::kStdout, 0, clock.wall().count(), text};
    return log->append(generation, {&record, 1}, ++seq);
  }
  std::vector<LogLine> read(const LogQuery& query = {}) {
    auto lines = log->read(query);
    REQUIRE(lines);
    return std::move(*lines);
  }
  // All lines, page by page.
  std::vector<LogLine> all(LogQuery query = {}) {
    std::vector<LogLine> lines;
    for (;;) {
      auto page = read(query);
      if (page.empty()) return lines;
      query.cursor = page.back().cursor;
      lines.insert(lines.end(), page.begin(), page.end());
    }
  }
  std::string newest() const {
    std::string found;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path() + "/" + agent.text())) {
      found = std::max(found, entry.path().string());
    }
    return found;
  }
  std::size_t files() const {
    auto in = std::filesystem::directory_iterator(dir.path() + "/" + agent.text());
    return static_cast<std::size_t>(std::distance(begin(in), end(in)));
  }
};

TEST_CASE("lines come back in order, with stream, time and generation") {
  Fixture f;
  REQUIRE(f.add("one"));
  REQUIRE(f.add("two", Generation{2}));
  auto lines = f.read();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].text == "one");
  CHECK(lines[0].generation == 1);
  CHECK(lines[0].time == f.clock.wall());
  CHECK(lines[1].generation == 2);
  CHECK(lines[0].cursor < lines[1].cursor);
}

TEST_CASE("a log opened again goes on after its last line") {
  Fixture f;
  REQUIRE(f.add("one"));
  REQUIRE(f.add("two", Generation{2}));
  f.log = f.open();
  CHECK(f.log->stored_seq(Generation{1}) == 1);
  CHECK(f.log->stored_seq(Generation{2}) == 2);
  CHECK(f.log->stored_seq(Generation{3}) == 0);
  REQUIRE(f.add("three", Generation{2}));
  CHECK(texts(f.all()) == std::vector<std::string>{"one", "two", "three"});
  CHECK(f.files() == 1);
}

TEST_CASE("a log cut at any byte opens with all whole chunks, and goes on") {
  Fixture f;
  REQUIRE(f.add("one"));
  auto one = std::filesystem::file_size(f.newest());
  REQUIRE(f.add("two"));
  auto two = std::filesystem::file_size(f.newest());
  auto path = f.newest();
  std::string whole = *read_file(f.logs.get(), f.agent.text() + "/00000001.seg", kMiB);
  for (auto size = two; size-- > 0;) {
    std::filesystem::remove_all(f.dir.path() + "/" + f.agent.text());
    std::filesystem::create_directory(f.dir.path() + "/" + f.agent.text());
    REQUIRE(
        replace_file(f.logs.get(), f.agent.text() + "/00000001.seg", whole.substr(0, size), 0600));
    f.log = f.open();
    CHECK(f.log->stored_seq(Generation{1}) == (size >= one ? 1 : 0));
    REQUIRE(f.add("new"));
    auto expected =
        size >= one ? std::vector<std::string>{"one", "new"} : std::vector<std::string>{"new"};
    CHECK(texts(f.all()) == expected);
    if (size < kSegmentHeaderBytes) CHECK(f.files() == 1);
  }
}

TEST_CASE("a damaged chunk is told as such, and the lines around it are read") {
  Fixture f;
  REQUIRE(f.add("one"));
  auto at = std::filesystem::file_size(f.newest());
  REQUIRE(f.add("two"));
  REQUIRE(f.add("three"));
  UniqueFd fd(::open(f.newest().c_str(), O_RDWR | O_CLOEXEC));
  damage(fd.get(), at + 50);
  auto lines = f.all();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].text == "one");
  CHECK(lines[1].stream == LogStream::kSystem);
  CHECK(lines[1].text.find("damaged") != std::string::npos);
  CHECK(lines[2].text == "three");

  SECTION("at the end of the log: a new segment begins, nothing is overwritten") {
    auto size = std::filesystem::file_size(f.newest());
    damage(fd.get(), size - 5);
    f.log = f.open();
    CHECK(!f.log->damage().empty());
    REQUIRE(f.add("four"));
    CHECK(f.files() == 2);
    CHECK(f.all().back().text == "four");
  }
  SECTION("an impossible length in the middle ends that segment only") {
    REQUIRE(::pwrite(fd.get(), "\xff\xff\xff\xff", 4, static_cast<off_t>(at)) == 4);
    lines = f.all();
    REQUIRE(lines.size() == 2);
    CHECK(lines[1].text.find("damaged") != std::string::npos);
  }
}

TEST_CASE("with another key the log opens empty, says so, and overwrites nothing") {
  Fixture f;
  REQUIRE(f.add("one"));
  f.log = f.open(2);
  CHECK(!f.log->damage().empty());
  REQUIRE(f.add("two"));
  f.log = f.open(1);
  CHECK(f.all().front().text == "one");
}

TEST_CASE("the log keeps to its bound, the oldest lines go first") {
  Fixture f;
  f.keep = kMiB;
  f.log = f.open();
  std::string filler(1000, '.');
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(f.add(fmt::format("{:05}{}", i, filler)));
    REQUIRE(f.log->stored_bytes() <= f.keep);
  }
  CHECK(f.log->stored_bytes() > f.keep - 2 * (f.keep / 8));
  auto lines = f.all();
  CHECK(lines.back().text.starts_with("02999"));
  CHECK(lines.size() > 750);
  for (std::size_t i = 1; i < lines.size(); ++i)
    REQUIRE(std::stoi(lines[i].text.substr(0, 5)) == std::stoi(lines[i - 1].text.substr(0, 5)) + 1);
}

TEST_CASE("a cursor into a deleted segment goes on at the oldest line there is") {
  Fixture f;
  f.keep = kMiB;
  f.log = f.open();
  REQUIRE(f.add("first"));
  auto cursor = f.all().back().cursor;
  for (int i = 0; i < 3000; ++i) REQUIRE(f.add(std::string(1000, '.')));
  auto page = f.read({.cursor = cursor, .limit = 1});
  REQUIRE(page.size() == 1);
  CHECK(page[0].cursor == f.read({.limit = 1})[0].cursor);
  CHECK(page[0].cursor > cursor);
}

TEST_CASE("pages follow each other across segments without a gap") {
  Fixture f;
  f.keep = 4 * kMiB;
  f.log = f.open();
  for (int i = 0; i < 2000; ++i) REQUIRE(f.add(fmt::format("{:05}{}", i, std::string(900, '.'))));
  REQUIRE(f.files() > 2);
  auto lines = f.all({.limit = 7});
  REQUIRE(lines.size() == 2000);
  for (int i = 0; i < 2000; ++i)
    REQUIRE(std::stoi(lines[static_cast<std::size_t>(i)].text.substr(0, 5)) == i);
  CHECK(std::ranges::is_sorted(lines, {}, &LogLine::cursor));
  CHECK(f.read({.cursor = lines.back().cursor}).empty());
}

TEST_CASE("a cursor that names no place is refused") {
  Fixture f;
  REQUIRE(f.add("one"));
  REQUIRE(f.add("two"));
  for (const char* cursor :
       {"x", "1:2:3", "0000000000000001:00000041:00000001", "0000000000000009:00000040:00000000",
        "0000000000000001:00000040:00000007", "0000000000000001:00000000:00000000"}) {
    INFO(cursor);
    auto page = f.log->read({.cursor = cursor});
    REQUIRE(!page);
    CHECK(page.error().code == Code::kInvalidArgument);
  }
}

TEST_CASE("since and tail find their place, alone and together") {
  Fixture f;
  f.keep = 4 * kMiB;
  f.log = f.open();
  Nanos begin = f.clock.wall();
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(f.add(fmt::format("{:05}{}", i, std::string(900, '.'))));
    f.clock.step(seconds(1));
  }
  auto first = [](const std::vector<LogLine>& lines) {
    return std::stoi(lines.at(0).text.substr(0, 5));
  };
  for (int wanted : {0, 1, 137, 1000, 1998, 1999}) {
    CHECK(first(f.read({.since = begin + seconds(wanted)})) == wanted);
    CHECK(first(f.read({.tail = static_cast<std::uint32_t>(2000 - wanted)})) == wanted);
  }
  CHECK(f.read({.since = begin + seconds(2000)}).empty());
  CHECK(f.read({.tail = 0}).empty());
  CHECK(first(f.read({.tail = 5000})) == 0);
  CHECK(first(f.read({.since = begin + seconds(1990), .tail = 100})) == 1990);
  CHECK(first(f.read({.since = begin + seconds(1000), .tail = 10})) == 1990);
  CHECK(f.all({.tail = 1500, .limit = 100}).size() == 1500);
}

TEST_CASE("a time that lies is bounded, and a clock set back hides no line") {
  Fixture f;
  LogRecord future{LogStream::kStdout, 0, INT64_MAX, "future"};
  LogRecord past{LogStream::kStdout, 0, -5, "past"};
  REQUIRE(f.log->append(Generation{1}, {&future, 1}, 1));
  REQUIRE(f.log->append(Generation{1}, {&past, 1}, 2));
  Nanos before = f.clock.wall();
  f.clock.set_wall(before - seconds(3600));
  f.seq = 2;
  REQUIRE(f.add("an hour back"));
  auto lines = f.all();
  CHECK(lines[0].time == before);
  CHECK(lines[1].time == Nanos::zero());
  CHECK(texts(f.read({.since = before - seconds(7200)})) ==
        std::vector<std::string>{"future", "an hour back"});
}

TEST_CASE("a full disk stores nothing of a chunk, and the next try stores it whole") {
  Fixture f;
  REQUIRE(f.add("one"));
  auto size = std::filesystem::file_size(f.newest());
  for (std::uint64_t room = 0; room < 300;
       room += 37) {  // the write fails at its start and half-way
    FullDisk full(size + room);
    CHECK(!f.add(std::string(400, 'x')));
    --f.seq;
    CHECK(std::filesystem::file_size(f.newest()) == size);
    CHECK(f.log->stored_seq(Generation{1}) == 1);
  }
  REQUIRE(f.add("two"));
  CHECK(texts(f.all()) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a removed log has no files and takes no lines") {
  Fixture f;
  REQUIRE(f.add("one"));
  REQUIRE(f.log->remove());
  CHECK(!std::filesystem::exists(f.dir.path() + "/" + f.agent.text()));
  CHECK(f.add("two").error().code == Code::kNotFound);
  CHECK(SegmentLog::remove_files(f.logs.get(), f.agent));
}

TEST_CASE("segments are readable by nobody else") {
  Fixture f;
  REQUIRE(f.add("one"));
  auto mode = std::filesystem::status(f.newest()).permissions();
  CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

}  // namespace
}  // namespace flodea::control
