#include "supervisor/helper/volume/fuse_mount.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace flodea::volume {
namespace {

constexpr int kNotifyResend = 7;  // FUSE_NOTIFY_RESEND; not in the headers of Debian 12

Status set_option(int context, const char* key, const std::string& value) {
  if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
    return fail_errno(std::string("fuse option ") + key);
  return {};
}

}  // namespace

Result<FuseMount> make_fuse_mount() {
  auto device =
      TRY(adopt_fd(::open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC), "open /dev/fuse"));
  auto context = TRY(adopt_fd(::fsopen("fuse", FSOPEN_CLOEXEC), "fsopen fuse"));
  TRY(set_option(context.get(), "source", "flodea-vault"));
  TRY(set_option(context.get(), "fd", std::to_string(device.get())));
  TRY(set_option(context.get(), "rootmode", "40000"));  // octal: a directory
  TRY(set_option(context.get(), "user_id", "0"));
  TRY(set_option(context.get(), "group_id", "0"));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return fail_errno("create a FUSE connection");
  auto mount = TRY(adopt_fd(::fsmount(context.get(), FSMOUNT_CLOEXEC,
                                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
                            "fsmount fuse"));
  return FuseMount{std::move(device), std::move(mount)};
}

Result<bool> can_continue_vault() {
  auto fuse = TRY(make_fuse_mount());
  fuse_out_header notice{.len = sizeof notice, .error = kNotifyResend, .unique = 0};
  if (::write(fuse.device.get(), &notice, sizeof notice) == static_cast<ssize_t>(sizeof notice))
    return true;
  if (errno == EINVAL) return false;
  return fail_errno("FUSE_NOTIFY_RESEND");
}

}  // namespace flodea::volume
