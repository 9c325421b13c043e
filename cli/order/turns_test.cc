#include "cli/order/turns.h"

#include <algorithm>
#include <thread>

#include <catch2/catch_test_macros.hpp>

using namespace flodea::cli;

TEST_CASE("each has one turn, in their order") {
  Turns turns({"b", "a", "c"});
  CHECK(turns.next() == "b");
  CHECK(turns.next() == "a");
  CHECK(turns.next() == "c");
  CHECK_FALSE(turns.next());
}

TEST_CASE("a turn comes when those before it are done") {
  Turns turns({"a", "b", "c"}, {{"a", {"b", "c"}}, {"b", {"c"}}});
  CHECK(turns.next() == "c");
  turns.done("c");
  CHECK(turns.next() == "b");
  std::optional<std::string> last;
  std::jthread waiting([&] { last = turns.next(); });
  turns.done("b");
  waiting.join();
  CHECK(last == "a");
}

TEST_CASE("who waits for a name that is not there, or in a ring, has a turn all the same") {
  Turns turns({"a", "b"}, {{"a", {"b", "gone"}}, {"b", {"a"}}});
  CHECK(turns.next() == "a");
  turns.done("a");
  CHECK(turns.next() == "b");
}

TEST_CASE("many threads work on more names than there are of them, and all end") {
  constexpr int kNames = 200;
  Names names;
  Precedence before;
  for (int i = 0; i < kNames; ++i) {
    names.push_back(std::to_string(i));
    if (i % 10 != 9) before[std::to_string(i)] = {std::to_string(i + 1)};  // twenty chains
  }
  Turns turns(names, before);
  std::mutex mutex;
  Names order;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        while (auto name = turns.next()) {
          std::lock_guard lock(mutex);
          order.push_back(*name);
          turns.done(*name);
        }
      });
    }
  }
  REQUIRE(order.size() == kNames);
  for (const auto& [name, first] : before)
    CHECK(std::ranges::find(order, *first.begin()) < std::ranges::find(order, name));
}
