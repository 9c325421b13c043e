// base/cgroup on texts of both layouts, and on plain files for v2, which not every test machine
// has.
#include "base/cgroup.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;

TEST_CASE("a unified host is told from a hybrid one") {
  auto v2 = CgroupHierarchies::parse(
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
      "0::/system.slice/flodea.service\n");
  REQUIRE(v2);
  CHECK(v2->layout == CgroupLayout::kV2);
  CHECK(v2->mount[0] == "/sys/fs/cgroup");
  CHECK(v2->own[0] == "/system.slice/flodea.service");
  auto hybrid = CgroupHierarchies::parse(
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / "
      "/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
      "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n");
  REQUIRE(hybrid);
  CHECK(hybrid->layout == CgroupLayout::kHybridV1);
  CHECK(hybrid->mount[1] == "/sys/fs/cgroup/memory");
  CHECK(hybrid->own[1] == "/a/b");
  CHECK(hybrid->mount[3] == hybrid->mount[4]);
  CHECK(hybrid->mount[2].empty());
  CHECK_FALSE(CgroupHierarchies::parse("22 27 0:21 / /proc rw - proc proc rw\n", ""));
}

TEST_CASE("usage is read from v2's files, and what is not there is 0") {
  char pattern[] = "/tmp/flodea-root-XXXXXX";
  std::string dir = ::mkdtemp(pattern);
  auto put = [&](const char* name, const char* text) { std::ofstream(dir + "/" + name) << text; };
  put("memory.current", "4096\n");
  put("memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n");
  put("cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
  put("pids.current", "7\n");
  CgroupPath path{CgroupController::kUnified, dir};
  auto reader = CgroupReader::open({&path, 1});
  REQUIRE(reader);
  auto usage = reader->read();
  REQUIRE(usage);
  CHECK(usage->memory_current == 4096);
  CHECK(usage->memory_peak == 0);
  CHECK(usage->cpu_nanos == 1'500'000);
  CHECK(usage->oom_kills == 1);
  CHECK(usage->pids == 7);
  std::filesystem::remove_all(dir);
}
