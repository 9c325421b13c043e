#include "base/event_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <optional>

#include <catch2/catch_test_macros.hpp>

#include "base/unique_fd.h"

namespace flodea {
namespace {

FdPair readable_pipe() {
  FdPair pipe = std::move(*make_pipe());
  REQUIRE(::write(pipe.second.get(), "x", 1) == 1);
  return pipe;
}

}  // namespace

TEST_CASE("a descriptor's number that is given on within a turn does not inherit its events") {
  auto loop = std::move(*EventLoop::create());
  FdPair pipes[] = {readable_pipe(), readable_pipe()};
  std::optional<FdPair> quiet;
  int taken = -1, old_events = 0, inherited = 0;
  auto first_of_two = [&](int mine) {
    return [&, mine](std::uint32_t) {
      ++old_events;
      int other = 1 - mine;
      if (taken >= 0) return;
      taken = pipes[other].first.get();
      loop->unwatch(taken);
      pipes[other].first.reset();
      quiet = std::move(*make_pipe());
      if (quiet->first.get() != taken) {
        REQUIRE(::dup2(quiet->first.get(), taken) == taken);
        quiet->first = UniqueFd(taken);
      }
      REQUIRE(loop->watch(taken, EPOLLIN, [&](std::uint32_t) { ++inherited; }));
      loop->unwatch(pipes[mine].first.get());
    };
  };
  REQUIRE(loop->watch(pipes[0].first.get(), EPOLLIN, first_of_two(0)));
  REQUIRE(loop->watch(pipes[1].first.get(), EPOLLIN, first_of_two(1)));
  REQUIRE(loop->run_once(1000));
  CHECK(old_events == 1);
  CHECK(taken >= 0);
  CHECK(inherited == 0);
  REQUIRE(::write(quiet->second.get(), "y", 1) == 1);
  REQUIRE(loop->run_once(1000));
  CHECK(inherited == 1);
}

TEST_CASE("a descriptor is watched once, and what cannot be watched is an error") {
  auto loop = std::move(*EventLoop::create());
  FdPair pipe = readable_pipe();
  int calls = 0;
  REQUIRE(loop->watch(pipe.first.get(), EPOLLIN, [&](std::uint32_t) { ++calls; }));
  REQUIRE(loop->run_once(1000));
  CHECK(calls == 1);
  loop->unwatch(pipe.first.get());
  REQUIRE(loop->watch(pipe.first.get(), EPOLLIN, [&](std::uint32_t) { calls += 10; }));
  REQUIRE(loop->run_once(1000));
  CHECK(calls == 11);
  CHECK_FALSE(loop->watch(-1, EPOLLIN, [](std::uint32_t) {}));
}

}  // namespace flodea
