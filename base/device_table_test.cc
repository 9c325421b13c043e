#include "base/device_table.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

TEST_CASE("a descriptor is in the table for as long as its row lives") {
  auto fd = DeviceTable::make();
  REQUIRE(fd);
  auto copy = fd->duplicate();
  auto table = DeviceTable::open(std::move(*fd));
  REQUIRE(table);
  AgentId first = AgentId::random();
  AgentId second = AgentId::random();
  {
    auto row = DeviceTable::add(*table, first, 11);
    auto other = DeviceTable::add(*table, second, 12);
    REQUIRE((row && other));
    auto read = DeviceTable::read(copy->get());
    REQUIRE(read);
    CHECK(*read == std::map<AgentId, int>{{first, 11}, {second, 12}});
  }
  CHECK(DeviceTable::read(copy->get())->empty());
}

TEST_CASE(
    "an agent that is named twice, a number that is none and an id that is none are left out") {
  auto fd = DeviceTable::make();
  auto copy = fd->duplicate();
  auto table = DeviceTable::open(std::move(*fd));
  AgentId twice = AgentId::random();
  AgentId good = AgentId::random();
  auto a = DeviceTable::add(*table, twice, 11);
  auto b = DeviceTable::add(*table, twice, 12);
  auto c = DeviceTable::add(*table, AgentId::random(), -1);
  auto d = DeviceTable::add(*table, good, 13);
  CHECK_FALSE(DeviceTable::add(*table, AgentId(), 14));
  auto read = DeviceTable::read(copy->get());
  REQUIRE(read);
  CHECK(*read == std::map<AgentId, int>{{good, 13}});
}

TEST_CASE("what is no table is refused") {
  auto pipe = make_pipe();
  CHECK_FALSE(DeviceTable::read(pipe->first.get()));
  CHECK_FALSE(DeviceTable::open(std::move(pipe->first)));
}
