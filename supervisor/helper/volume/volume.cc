#include "supervisor/helper/volume/volume.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "supervisor/helper/volume/file_system.h"
#include "supervisor/helper/volume/loop_device.h"

namespace flodea::volume {
namespace {

constexpr const char* kImageName = "image";  // as flodea-vault shows it
constexpr const char* kScratchDir =
    "/tmp";  // always there (FHS), and covered in our own mount namespace only

// A read goes to the vault and back: steps larger than the usual 128 KiB keep several of them under
// way.
constexpr std::uint64_t kReadAheadBytes = 512 * 1024;

Result<UniqueFd> open_plain_image(int fuse_mount) {
  return adopt_fd(::openat(fuse_mount, kImageName, O_RDWR | O_NOFOLLOW | O_CLOEXEC),
                  "open the plain image");
}

struct Mounted {
  UniqueFd root;
  LoopIdentity loop;
};

Result<Mounted> mount_image(int image) {
  auto device = TRY(attach_loop(image));
  TRY(set_read_ahead(device, kReadAheadBytes));
  auto root = TRY(mount_file_system(device.path));
  return Mounted{std::move(root), std::move(device.identity)};
}

Status attach_privately(int mount) {
  TRY(enter_private_mount_namespace());
  if (::move_mount(mount, "", AT_FDCWD, kScratchDir, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno("attach the volume");
  return {};
}

Result<bool> wait_until_unmounted(int fuse_device, Nanos timeout) {
  pollfd wait{.fd = fuse_device, .events = 0, .revents = 0};  // POLLERR comes unasked
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  int ready;
  do {
    ready = ::poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(ms, 0, 1'000'000)));
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_errno("poll /dev/fuse");
  return ready > 0;
}

}  // namespace

Result<LoopIdentity> make_filesystem(int fuse_mount, std::uint64_t usable_bytes) {
  auto image = TRY(open_plain_image(fuse_mount));
  if (!TRY(has_file_system(image.get()))) TRY(format_image(image.get(), usable_bytes));
  auto mounted = TRY(mount_image(image.get()));
  TRY_CONTEXT(make_tree(mounted.root.get()), "directories of a new volume");
  return std::move(mounted.loop);
}

Result<OpenedVolume> open_volume(int fuse_mount, int control_user_namespace) {
  auto image = TRY(open_plain_image(fuse_mount));
  auto mounted = TRY(mount_image(image.get()));
  TRY(attach_privately(mounted.root.get()));
  auto agent = TRY(detach_subtree(mounted.root.get(), kAgentDir));
  auto store = TRY(detach_subtree(mounted.root.get(), kStoreDir));
  TRY(check_writable(agent.get()));
  TRY(check_writable(store.get()));
  TRY(map_owners(store.get(), control_user_namespace));
  return OpenedVolume{std::move(agent), std::move(store), std::move(mounted.loop)};
}

Status verify_closed(const LoopIdentity& loop, int fuse_device, Nanos timeout) {
  bool unmounted = fuse_device < 0 || TRY(wait_until_unmounted(fuse_device, timeout));
  auto now = TRY(inspect_loop(loop.number));
  bool gone = !now || *now != loop;
  if (unmounted && gone) return {};
  return fail(Code::kDeadlineExceeded,
              gone ? "the volume's FUSE connection is still alive"
                   : "/dev/loop" + std::to_string(loop.number) +
                         " still holds the volume: something of the agent keeps it open");
}

}  // namespace flodea::volume
