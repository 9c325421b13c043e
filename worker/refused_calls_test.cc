#include "worker/refused_calls.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include <catch2/catch_test_macros.hpp>

#include "base/fd_message.h"
#include "base/pid_fd.h"
#include "worker/seccomp_filter.h"

namespace flodea::worker {
namespace {

struct Setup {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  UniqueFd page_fd = std::move(*make_status_page());
  StatusPageWriter page = std::move(*StatusPageWriter::map(page_fd.get()));
  StatusPageReader reader = std::move(*StatusPageReader::map(page_fd.get()));
  RefusedCalls refused{*loop, page};

  void run_until_ended(const PidFd& child) {
    bool ended = false;
    REQUIRE(loop->watch(child.get(), 1 /* EPOLLIN */, [&](std::uint32_t) { ended = true; }));
    while (!ended) REQUIRE(loop->run_once(20'000));
    loop->unwatch(child.get());
  }
};

int load_filter() {
  std::array<sock_filter, 4> code{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdirat, 0, 1),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  sock_fprog program{.len = code.size(), .filter = code.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

// A child that reports its mkdirat(2) and then makes `calls` of them. Its exit status: how many
// were answered with EPERM.
PidFd start_caller(int socket, int calls) {
  pid_t pid = ::fork();
  if (pid == 0) {
    UniqueFd listener(load_filter());
    int fd = listener.get();
    if (fd < 0 || !send_fd_message(socket, "f", std::span(&fd, 1))) ::_exit(100);
    listener.reset();
    int refused = 0;
    for (int i = 0; i < calls; ++i) {
      bool eperm =
          ::syscall(SYS_mkdirat, AT_FDCWD, "/tmp/flodea-never", 0700) != 0 && errno == EPERM;
      refused += eperm ? 1 : 0;
    }
    ::_exit(refused);
  }
  return std::move(*PidFd::open(pid));
}

}  // namespace

TEST_CASE("each reported call is answered with EPERM and counted, by number") {
  if (!kernel_reports_refused_calls()) SKIP("this kernel has no seccomp listeners");
  Setup s;
  auto pair = std::move(*make_socketpair(SOCK_SEQPACKET));
  REQUIRE(s.refused.expect_listener(std::move(pair.first)));
  PidFd child = start_caller(pair.second.get(), 90);  // more than one turn answers
  s.run_until_ended(child);
  auto status = child.wait();
  REQUIRE(status);
  CHECK_FALSE(status->signaled);
  CHECK(status->value == 90);
  CHECK(s.refused.unreported() == RefusedCalls::Counts{{SYS_mkdirat, 90}});
  auto page = s.reader.read();
  CHECK(page->denied_total == 90);
  REQUIRE(page->denied.size() == 1);
  CHECK(page->denied[0].syscall_number == SYS_mkdirat);
  CHECK(page->denied[0].count == 90);
  s.refused.reported();
  CHECK(s.refused.unreported().empty());
  CHECK(s.reader.read()->denied_total == 90);  // what the page says stays
}

TEST_CASE("a caller that is killed while it waits harms nothing") {
  if (!kernel_reports_refused_calls()) SKIP("this kernel has no seccomp listeners");
  Setup s;
  auto pair = std::move(*make_socketpair(SOCK_SEQPACKET));
  REQUIRE(s.refused.expect_listener(std::move(pair.first)));
  PidFd child = start_caller(pair.second.get(), 1);
  REQUIRE(s.loop->run_once(20'000));  // the listener is here; the call may be under way
  REQUIRE(child.send_signal(SIGKILL));
  s.run_until_ended(child);
  REQUIRE(s.loop->run_once(0));
  CHECK(s.reader.read()->denied_total <= 1);
}

TEST_CASE("without a listener there is nothing to answer") {
  Setup s;
  auto pair = std::move(*make_socketpair(SOCK_SEQPACKET));
  REQUIRE(s.refused.expect_listener(std::move(pair.first)));
  SECTION("the child gave up before it sent one") { pair.second.reset(); }
  SECTION("a message carries none") { REQUIRE(send_fd_message(pair.second.get(), "f")); }
  REQUIRE(s.loop->run_once(0));
  REQUIRE(s.loop->run_once(0));
  CHECK(s.refused.unreported().empty());
}

}  // namespace flodea::worker
