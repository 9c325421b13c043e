#include "modules/agent/self.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea::agent {

TEST_CASE("a record becomes one line of JSON") {
  Record record{.level = Level::kWarning, .message = "a \"b\"\nc", .fields = {{"order", "7"}}};
  CHECK(*format_record(record) ==
        R"({"level":"warning","message":"a \"b\"\nc","fields":{"order":"7"}})");
}

TEST_CASE("bytes that are no UTF-8 do not break the log") {
  CHECK(format_record({.message = "\xff\xfe"}).has_value());
}

TEST_CASE("records are bounded in size and number, and the one at fault is named") {
  std::vector<Record> records(2);
  records[1].message = std::string(kMaxRecordBytes, 'x');
  auto too_long = format_records(records);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().code == Code::kInvalidArgument);
  CHECK(too_long.error().field == "records[1]");
  CHECK(format_records(std::vector<Record>(kMaxRecords)).has_value());
  CHECK_FALSE(format_records(std::vector<Record>(kMaxRecords + 1)));
}

TEST_CASE("a request to stop reaches those who watch, and those who come later") {
  StopBoard board;
  std::vector<std::string> heard;
  auto watcher = [&heard](const StopRequest& request) { heard.push_back(request.reason); };
  auto first = board.watch(watcher);
  auto second = board.watch(watcher);
  CHECK(first != 0);
  CHECK(board.unwatch(second));
  board.request({.reason = "operator"});
  CHECK(heard == std::vector<std::string>{"operator"});
  CHECK_FALSE(board.unwatch(first));
  CHECK(board.watch(watcher) == 0);
  CHECK(heard.size() == 2);
  board.request({.reason = "shutdown"});
  CHECK(heard.size() == 2);  // each watcher is called once
}

}  // namespace flodea::agent
