// Descriptors, messages with descriptors, processes by descriptor, and the loop that watches them.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "base/event_loop.h"
#include "base/fd_message.h"
#include "base/pid_fd.h"
#include "base/unique_fd.h"

namespace flodea {
namespace {
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }
}  // namespace

TEST_CASE("a descriptor is closed once, also when it is assigned over") {
  auto pipe = make_pipe().value();
  int first = pipe.first.get(), second = pipe.second.get();
  pipe.first = std::move(pipe.second);
  CHECK_FALSE(is_open(first));
  CHECK(is_open(second));
  UniqueFd& same = pipe.first;
  pipe.first = std::move(same);
  CHECK(is_open(second));
  pipe.first.reset();
  CHECK_FALSE(is_open(second));
}

TEST_CASE("a message brings its bytes and descriptors, close-on-exec") {
  auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK).value();
  auto pipe = make_pipe().value();
  int fds[] = {pipe.first.get(), pipe.second.get()};
  REQUIRE(send_fd_message(pair.first.get(), "hello", fds));
  auto message = receive_fd_message(pair.second.get()).value();
  CHECK(message.bytes == "hello");
  REQUIRE(message.fds.size() == 2);
  CHECK((::fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(receive_fd_message(pair.second.get()).error().code == Code::kUnavailable);
  pair.first.reset();
  CHECK(receive_fd_message(pair.second.get()).error().code == Code::kCancelled);
  CHECK_FALSE(send_fd_message(pair.second.get(), "x"));
}

TEST_CASE("a message that is too long, empty, or has too many descriptors is not sent") {
  auto pair = make_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK).value();
  CHECK_FALSE(send_fd_message(pair.first.get(), std::string(kMaxFdMessageBytes + 1, 'x')));
  CHECK_FALSE(send_fd_message(pair.first.get(), ""));
  std::vector<int> many(kMaxFdsPerMessage + 1, 0);
  CHECK_FALSE(send_fd_message(pair.first.get(), "x", many));
}

TEST_CASE("a process is waited for by its descriptor") {
  pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  PidFd process = PidFd::open(child).value();
  CHECK_FALSE(process.ended(0).value());
  CHECK(process.wait_no_hang().error().code == Code::kUnavailable);
  REQUIRE(process.send_signal(SIGKILL));
  CHECK(process.ended(-1).value());
  auto status = process.wait().value();
  CHECK(status.signaled);
  CHECK(status.value == SIGKILL);
  CHECK(process.wait().error().code == Code::kNotFound);
}

TEST_CASE("a handler may unwatch another descriptor of the same turn") {
  auto loop = EventLoop::create().value();
  auto a = make_pipe().value(), b = make_pipe().value();
  int calls = 0;
  auto once = [&](std::uint32_t) {
    ++calls;
    loop->unwatch(a.first.get());
    loop->unwatch(b.first.get());
  };
  REQUIRE(loop->watch(a.first.get(), EPOLLIN, once));
  REQUIRE(loop->watch(b.first.get(), EPOLLIN, once));
  REQUIRE(::write(a.second.get(), "x", 1) == 1);
  REQUIRE(::write(b.second.get(), "x", 1) == 1);
  REQUIRE(loop->run_once(1000));
  CHECK(calls == 1);
}

TEST_CASE("timers fire in order, cancelled ones never, and posted tasks run on the loop's thread") {
  auto loop = EventLoop::create().value();
  std::string order;
  loop->call_after(std::chrono::milliseconds(2), [&] { order += 'b'; });
  loop->call_after(Nanos(0), [&] { order += 'a'; });
  auto dropped = loop->call_after(std::chrono::milliseconds(1), [&] { order += 'x'; });
  loop->cancel(dropped);
  loop->call_after(std::chrono::milliseconds(4), [&] { loop->stop(); });
  std::thread other([&] { loop->post([&] { order += 'p'; }); });
  other.join();
  REQUIRE(loop->run());
  CHECK(order.find('x') == std::string::npos);
  CHECK(order.find('a') < order.find('b'));
  CHECK(order.find('p') != std::string::npos);
}

}  // namespace flodea
