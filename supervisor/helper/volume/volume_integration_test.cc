// The helper's volume verbs on plain images: what they do below the encryption. Needs root and loop
// devices.
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/helper/volume/file_system.h"
#include "supervisor/helper/volume/fuse_mount.h"
#include "supervisor/helper/volume/geometry.h"
#include "supervisor/helper/volume/loop_device.h"
#include "supervisor/helper/volume/run_tool.h"
#include "supervisor/helper/volume/volume.h"

namespace flodea::volume {
namespace {

template <class T>
T must(Result<T> result) {
  INFO((result ? "" : result.error().describe()));
  REQUIRE(result);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Unnamed and sparse: nothing to clean up.
UniqueFd sparse_image(std::uint64_t bytes) {
  UniqueFd fd(::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  REQUIRE(fd);
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  return fd;
}

UniqueFd made_image(std::uint64_t usable) {
  UniqueFd image = sparse_image(device_size_for(usable));
  must(format_image(image.get(), usable));
  return image;
}

}  // namespace

TEST_CASE("what statvfs says is available on a new volume is at least what was asked for") {
  for (std::uint64_t mib : {16, 17, 64, 127, 128, 129, 250, 512, 1000, 1024, 4096, 65536}) {
    std::uint64_t usable = mib << 20;
    UniqueFd image = made_image(usable);
    auto loop = must(attach_loop(image.get()));
    auto mount = must(mount_file_system(loop.path));
    must(make_tree(mount.get()));
    struct statvfs fs{};
    REQUIRE(::fstatvfs(mount.get(), &fs) == 0);
    std::uint64_t available = std::uint64_t{fs.f_bavail} * fs.f_frsize;
    CAPTURE(mib, available, fs.f_ffree);
    CHECK(available >= usable);
    CHECK(available <= usable + usable / 100 + (2 << 20));
    CHECK(fs.f_ffree >= usable / 8192 - 32);
  }
}

TEST_CASE("the smallest volume holds files up to its size") {
  UniqueFd image = made_image(kMinUsableBytes);
  auto loop = must(attach_loop(image.get()));
  auto mount = must(mount_file_system(loop.path));
  must(make_tree(mount.get()));
  UniqueFd file(
      ::openat(mount.get(), "agent/upper/data/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  std::string chunk(1 << 20, 'x');
  for (unsigned i = 0; i < 15; ++i)
    REQUIRE(::write(file.get(), chunk.data(), chunk.size()) == static_cast<ssize_t>(chunk.size()));
  CHECK(::fsync(file.get()) == 0);
}

TEST_CASE("a volume without a file system is called that, not mounted and not formatted") {
  UniqueFd image = sparse_image(device_size_for(kMinUsableBytes));
  auto loop = must(attach_loop(image.get()));
  auto mount = mount_file_system(loop.path);
  REQUIRE_FALSE(mount);
  CHECK(mount.error().code == Code::kDataLoss);
  CHECK(mount.error().message.find("no file system") != std::string::npos);
}

TEST_CASE("a file system that is marked as having errors is checked before it is mounted") {
  UniqueFd image = made_image(kMinUsableBytes);
  auto marked = must(run_tool("debugfs", {"-w", "-R", "set_super_value state 2", "/proc/self/fd/3"},
                              image.get(), std::chrono::seconds(10)));
  REQUIRE(marked.exit_code == 0);
  auto loop = must(attach_loop(image.get()));
  auto mount = mount_file_system(loop.path);
  INFO((mount ? "" : mount.error().describe()));
  REQUIRE(mount);
  must(check_writable(mount->get()));
  mount->reset();
  unsigned char state[2] = {};
  REQUIRE(::pread(image.get(), state, sizeof state, 1024 + 0x3a) == 2);
  CHECK((state[0] & 2) == 0);
}

TEST_CASE("a volume destroyed beyond e2fsck -p is data loss with a remedy") {
  UniqueFd image = made_image(kMinUsableBytes);
  std::string noise(1 << 20, 'n');
  REQUIRE(::pwrite(image.get(), noise.data(), noise.size(), 4096) ==
          static_cast<ssize_t>(noise.size()));
  auto loop = must(attach_loop(image.get()));
  auto mount = mount_file_system(loop.path);
  REQUIRE_FALSE(mount);
  CHECK(mount.error().code == Code::kDataLoss);
  CHECK_FALSE(mount.error().remedy.empty());
}

TEST_CASE("a read-only file system is noticed by the probe, which an open alone is not") {
  UniqueFd image = made_image(kMinUsableBytes);
  auto loop = must(attach_loop(image.get()));
  auto mount = must(mount_file_system(loop.path));
  must(check_writable(mount.get()));
  mount_attr attributes{.attr_set = MOUNT_ATTR_RDONLY};
  REQUIRE(::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0);
  auto probed = check_writable(mount.get());
  REQUIRE_FALSE(probed);
  CHECK(probed.error().code == Code::kDataLoss);
}

TEST_CASE(
    "a loop device is free again once its last holder is gone, and its number is no identity") {
  UniqueFd image = made_image(kMinUsableBytes);
  auto first = must(attach_loop(image.get()));
  LoopIdentity gone = first.identity;
  CHECK_FALSE(verify_closed(gone, -1, Nanos(0)));
  first.fd.reset();
  CHECK(verify_closed(gone, -1, Nanos(0)));
  auto second = must(attach_loop(image.get()));  // often the same number
  CHECK(second.identity != gone);
  CHECK(verify_closed(gone, -1, Nanos(0)));
}

TEST_CASE("a FUSE connection is mounted nowhere, and its device says when it is over") {
  auto fuse = must(make_fuse_mount());
  pollfd wait{.fd = fuse.device.get(), .events = 0, .revents = 0};
  CHECK(::poll(&wait, 1, 0) == 0);
  fuse.mount.reset();
  REQUIRE(::poll(&wait, 1, 5000) == 1);
  CHECK((wait.revents & POLLERR) != 0);
}

TEST_CASE("whether a vault can be continued is what the kernel says of itself") {
  utsname name{};
  REQUIRE(::uname(&name) == 0);
  int major = 0, minor = 0;
  REQUIRE(std::sscanf(name.release, "%d.%d", &major, &minor) == 2);
  CHECK(must(can_continue_vault()) == (major > 6 || (major == 6 && minor >= 9)));
}

}  // namespace flodea::volume
