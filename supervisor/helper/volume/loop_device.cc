#include "supervisor/helper/volume/loop_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "base/ids.h"

namespace flodea::volume {
namespace {

constexpr int kAttempts = 64;  // others take free devices between our asking and our taking

std::string loop_path(int number) { return "/dev/loop" + std::to_string(number); }

LoopIdentity identity_of(int number, const loop_info64& info) {
  const char* name = reinterpret_cast<const char*>(info.lo_file_name);
  return LoopIdentity{.number = number,
                      .backing_device = info.lo_device,
                      .backing_inode = info.lo_inode,
                      .label = std::string(name, ::strnlen(name, LO_NAME_SIZE))};
}

// nullopt: somebody else was faster.
Result<std::optional<LoopDevice>> try_attach(int control, int backing_file,
                                             const std::string& label) {
  int number = ::ioctl(control, LOOP_CTL_GET_FREE);
  if (number < 0) return fail_errno("find a free loop device");
  LoopDevice device{.path = loop_path(number)};
  device.fd = TRY(adopt_fd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC), "open " + device.path));
  loop_config config{};
  config.fd = static_cast<__u32>(backing_file);
  config.block_size = 4096;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  std::memcpy(config.info.lo_file_name, label.data(), label.size());
  if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) != 0) {
    if (errno == EBUSY) return std::nullopt;
    return fail_errno("configure " + device.path);
  }
  loop_info64 info{};
  if (::ioctl(device.fd.get(), LOOP_GET_STATUS64, &info) != 0)
    return fail_errno("status of " + device.path);
  if ((info.lo_flags & LO_FLAGS_DIRECT_IO) == 0)
    return fail(Code::kInternal, device.path + " refused direct I/O");
  device.identity = identity_of(number, info);
  return device;
}

}  // namespace

Result<LoopDevice> attach_loop(int backing_file) {
  auto control =
      TRY(adopt_fd(::open("/dev/loop-control", O_RDWR | O_CLOEXEC), "open /dev/loop-control"));
  std::string label = "flodea-" + AgentId::random().text();
  for (int i = 0; i < kAttempts; ++i) {
    auto device = TRY(try_attach(control.get(), backing_file, label));
    if (device) return std::move(*device);
  }
  return fail(Code::kUnavailable, "no free loop device could be had in 64 attempts");
}

Status set_read_ahead(const LoopDevice& device, std::uint64_t bytes) {
  if (::ioctl(device.fd.get(), BLKRASET, static_cast<unsigned long>(bytes / 512)) != 0)
    return fail_errno("read-ahead of " + device.path);
  return {};
}

Result<std::optional<LoopIdentity>> inspect_loop(int number) {
  auto fd = adopt_fd(::open(loop_path(number).c_str(), O_RDONLY | O_CLOEXEC),
                     "open " + loop_path(number));
  if (!fd && (fd.error().sys_errno == ENOENT || fd.error().sys_errno == ENXIO)) return std::nullopt;
  if (!fd) return tl::unexpected(std::move(fd).error());
  loop_info64 info{};
  if (::ioctl(fd->get(), LOOP_GET_STATUS64, &info) == 0) return identity_of(number, info);
  if (errno == ENXIO) return std::nullopt;
  return fail_errno("status of " + loop_path(number));
}

}  // namespace flodea::volume
