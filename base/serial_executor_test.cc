#include "base/serial_executor.h"

#include <atomic>
#include <latch>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace flodea {
namespace {

// Stops an executor's only thread until the test lets it go.
struct Stopper {
  explicit Stopper(SerialExecutor& executor) : strand(executor.make_strand()) {
    strand->post([this] {
      reached.count_down();
      go.wait();
    });
    reached.wait();
  }
  std::shared_ptr<SerialExecutor::Strand> strand;
  std::latch reached{1};
  std::latch go{1};
};

// Posts again when it goes: a deadlock if that happens under the executor's lock.
struct PostsWhenReleased {
  std::shared_ptr<SerialExecutor::Strand> strand;
  std::latch& done;
  ~PostsWhenReleased() {
    strand->post([&d = done] { d.count_down(); });
  }
};

}  // namespace

TEST_CASE("the tasks of a strand run in order and never two at once, however many threads") {
  std::vector<int> order;
  std::atomic<int> inside{0};
  bool overlapped = false;
  {
    SerialExecutor executor(4, "test");
    auto strand = executor.make_strand();
    for (int i = 0; i < 1000; ++i) {
      strand->post([&, i] {
        overlapped = overlapped || inside.fetch_add(1) != 0;
        order.push_back(i);
        inside.fetch_sub(1);
      });
    }
  }
  REQUIRE(order.size() == 1000);
  for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK_FALSE(overlapped);
}

TEST_CASE("a strand whose task waits holds up no other") {
  SerialExecutor executor(2, "test");
  auto slow = executor.make_strand();
  auto quick = executor.make_strand();
  std::latch freed{1}, done{2};
  slow->post([&] {
    freed.wait();
    done.count_down();
  });
  quick->post([&] {
    freed.count_down();
    done.count_down();
  });
  done.wait();
}

TEST_CASE("strands take turns, one task each") {
  std::string order;
  {
    SerialExecutor executor(1, "test");
    Stopper stopper(executor);
    auto a = executor.make_strand();
    auto b = executor.make_strand();
    for (int i = 0; i < 3; ++i) a->post([&] { order += 'a'; });
    for (int i = 0; i < 2; ++i) b->post([&] { order += 'b'; });
    stopper.go.count_down();
    std::latch end{1};
    a->post([&] { end.count_down(); });
    end.wait();
  }
  CHECK(order == "ababa");
}

TEST_CASE("what was posted before the end is run, also what it posts to its own strand") {
  int ran = 0;
  {
    SerialExecutor executor(1, "test");
    auto strand = executor.make_strand();
    Stopper stopper(executor);
    strand->post([&, s = strand.get()] {
      ++ran;
      s->post([&] { ++ran; });
    });
    for (int i = 0; i < 10; ++i) strand->post([&] { ++ran; });
    stopper.go.count_down();
    std::latch end{1};
    strand->post([&] { end.count_down(); });
    end.wait();
  }
  CHECK(ran == 12);
}

TEST_CASE("what a task holds is released outside the executor's lock") {
  std::latch done{1};
  SerialExecutor executor(1, "test");
  auto strand = executor.make_strand();
  auto held = std::make_shared<PostsWhenReleased>(strand, done);
  strand->post([held] {});
  held.reset();
  done.wait();
}

TEST_CASE("a strand outlives its handle while it has tasks") {
  std::latch done{3};
  SerialExecutor executor(1, "test");
  Stopper stopper(executor);
  auto strand = executor.make_strand();
  for (int i = 0; i < 3; ++i) strand->post([&] { done.count_down(); });
  strand.reset();
  stopper.go.count_down();
  done.wait();
}

}  // namespace flodea
