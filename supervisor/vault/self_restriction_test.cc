// Each refusal is first shown to be one: the same call without the filter succeeds.
#include "supervisor/vault/self_restriction.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include <catch2/catch_test_macros.hpp>

#include "policy/restrict_self.h"

namespace flodea::vault {
namespace {

// errno of `attempt` (0: it succeeded) in a child, with or without the filter.
enum class Filter { kNone, kLoaded };
int errno_in_child(Filter filter, const std::function<bool()>& attempt) {
  pid_t child = ::fork();
  if (child == 0) {
    if (filter == Filter::kLoaded && (!forbid_dumps_and_privileges() || !restrict_self()))
      ::_exit(200);
    errno = 0;
    ::_exit(attempt() ? 0 : errno);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

void check_refused(const std::function<bool()>& attempt) {
  CHECK(errno_in_child(Filter::kNone, attempt) == 0);
  CHECK(errno_in_child(Filter::kLoaded, attempt) == EPERM);
}

}  // namespace

TEST_CASE("the filter refuses what a vault has no business with") {
  SECTION("a socket to the network") {
    check_refused([] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; });
  }
  SECTION("a unix socket") {
    check_refused([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0; });
  }
  SECTION("another program") {
    check_refused([] { return ::execl("/bin/true", "true", nullptr) == 0; });
  }
  SECTION("another process") {
    check_refused([] {
      pid_t pid = ::fork();
      if (pid == 0) ::_exit(0);
      return pid > 0;
    });
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  SECTION("a file by an absolute path") {
    check_refused([] { return ::open("/etc/passwd", O_RDONLY) >= 0; });
  }
#endif
}

}  // namespace flodea::vault
