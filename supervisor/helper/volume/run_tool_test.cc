#include "supervisor/helper/volume/run_tool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

namespace flodea::volume {

using namespace std::chrono_literals;

TEST_CASE("a tool's output and exit code come back") {
  auto done = run_tool("mke2fs", {"-V"}, -1, 10s);
  REQUIRE(done);
  CHECK(done->exit_code == 0);
  CHECK(done->output.find("mke2fs") != std::string::npos);
}

TEST_CASE("a tool that fails says why") {
  auto done = run_tool("e2fsck", {"-n", "/nonexistent/device"}, -1, 10s);
  REQUIRE(done);
  CHECK(done->exit_code == 8);
  CHECK(done->output.find("/nonexistent/device") != std::string::npos);
}

TEST_CASE("a tool that is not there is not found, with a remedy") {
  auto done = run_tool("no-such-tool", {}, -1, 10s);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::kNotFound);
  CHECK(done.error().remedy == "install e2fsprogs");
}

TEST_CASE("a tool that hangs is killed at its deadline") {
  char directory[] = "/tmp/flodea-run-tool-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  std::string fifo = std::string(directory) + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) ==
          0);  // opening it for reading waits for a writer that never comes
  auto done = run_tool("e2fsck", {"-n", fifo}, -1, 100ms);
  ::unlink(fifo.c_str());
  ::rmdir(directory);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::kDeadlineExceeded);
}

TEST_CASE("a tool sees the one descriptor it is given, as 3") {
  int fd = ::open("/etc/hostname", O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  auto done = run_tool("e2fsck", {"-n", "/proc/self/fd/3"}, fd, 10s);
  ::close(fd);
  REQUIRE(done);
  CHECK(done->output.find("No such file") == std::string::npos);  // it was opened, and is no ext4
  CHECK(done->exit_code == 8);
}

}  // namespace flodea::volume
