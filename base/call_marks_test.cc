#include "base/call_marks.h"

#include <optional>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace std::chrono_literals;

using Agents = std::set<AgentId>;

TEST_CASE("whose messages control was at is found by the next one that opens the marks") {
  auto fd = CallMarks::make();
  REQUIRE(fd);
  auto copy = fd->duplicate();
  AgentId first = AgentId::random();
  AgentId second = AgentId::random();
  {
    auto marks = CallMarks::open(std::move(*fd));
    REQUIRE(marks);
    auto one = CallMarks::add(*marks, first);
    auto other = CallMarks::add(*marks, second);
    REQUIRE((one && other));
    one->set(7s);
    other->set(CallMarks::Row::kAtIt);
    CHECK((*marks)->marked(8s) == Agents{second});
    other->set(0s);
    CHECK((*marks)->marked(0s) == Agents{first});
    other->set(9s);
  }
  auto next = CallMarks::open(std::move(*copy));
  REQUIRE(next);
  CHECK((*next)->marked(0s) == Agents{first, second});
  CHECK((*next)->marked(9s) == Agents{second});
  REQUIRE((*next)->clear());
  CHECK((*next)->marked(0s)->empty());
}

TEST_CASE("what an attachment said last stays when it ends, until every other row had its turn") {
  auto marks = CallMarks::open(std::move(*CallMarks::make()));
  AgentId gone = AgentId::random();
  {
    auto row = CallMarks::add(*marks, gone);
    row->set(5s);
  }
  AgentId other = AgentId::random();
  for (std::size_t i = 1; i < CallMarks::kRows; ++i) REQUIRE(CallMarks::add(*marks, other));
  CHECK((*marks)->marked(0s) == Agents{gone});
  REQUIRE(CallMarks::add(*marks, other));
  CHECK((*marks)->marked(0s)->empty());
}

TEST_CASE("more attachments than rows, and an agent without an id, are refused") {
  auto marks = CallMarks::open(std::move(*CallMarks::make()));
  CHECK_FALSE(CallMarks::add(*marks, AgentId()));
  std::vector<CallMarks::Row> rows;
  for (std::size_t i = 0; i < CallMarks::kRows; ++i)
    rows.push_back(std::move(*CallMarks::add(*marks, AgentId::random())));
  auto none = CallMarks::add(*marks, AgentId::random());
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Code::kResourceExhausted);
  rows.pop_back();
  CHECK(CallMarks::add(*marks, AgentId::random()));
}

TEST_CASE("what holds no marks is refused") {
  auto pipe = make_pipe();
  auto refused = CallMarks::open(std::move(pipe->first));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kFailedPrecondition);
}
