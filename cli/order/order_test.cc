#include "cli/order/order.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea::cli;

TEST_CASE("agents are applied behind those they come after, else in their order") {
  CHECK(in_start_order({"c", "a", "b"}, {}) == Names{"c", "a", "b"});
  CHECK(in_start_order({"c", "a", "b"}, {{"c", {"b"}}, {"b", {"a"}}}) == Names{"a", "b", "c"});
  CHECK(in_start_order({"c", "a"}, {{"c", {"other"}}, {"other", {"a"}}}) == Names{"a", "c"});
  CHECK(in_start_order({"a", "b"}, {{"a", {"gone"}}}) == Names{"a", "b"});
}

TEST_CASE("agents are stopped before those they come after") {
  CHECK(stopped_before({"a", "b"}, {{"a", {"c"}}}) == Precedence{});
  CHECK(stopped_before({"a", "b", "c"}, {{"c", {"b"}}, {"b", {"a"}}}) ==
        Precedence{{"a", {"b", "c"}}, {"b", {"c"}}});
  CHECK(stopped_before({"a", "c"}, {{"c", {"b"}}, {"b", {"a"}}}) == Precedence{{"a", {"c"}}});
}

TEST_CASE("a ring ends") {
  After ring{{"a", {"b"}}, {"b", {"a"}}, {"c", {"c"}}};
  CHECK(in_start_order({"a", "b", "c"}, ring) == Names{"b", "a", "c"});
  CHECK(stopped_before({"a", "b", "c"}, ring) == Precedence{{"a", {"b"}}, {"b", {"a"}}});
}
