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
#include "supervisor/helper/volume/hot_blocks.h"
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

Result<MountedImage> mount_device(const LoopDevice& device) {
  TRY(set_read_ahead(device, kReadAheadBytes));
  TRY(read_ahead_hot_blocks(device.fd.get()));
  auto root = TRY(mount_file_system(device.path));
  return MountedImage{std::move(root), device.identity};
}

Status attach_privately(int mount) {
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
  auto device = TRY(attach_loop(image.get()));
  auto mounted = TRY(mount_device(device));
  TRY_CONTEXT(make_tree(mounted.root.get()), "directories of a new volume");
  auto hot = TRY(resident_ranges(device.fd.get()));
  mounted.root.reset();  // what ext4 has in its cache goes to the image
  device.fd.reset();
  TRY(note_hot_ranges(image.get(), hot));
  return std::move(mounted.loop);
}

Result<MountedImage> mount_volume(int fuse_mount) {
  auto image = TRY(open_plain_image(fuse_mount));
  return mount_device(TRY(attach_loop(image.get())));
}

Result<OpenedVolume> open_trees(MountedImage mounted, int control_user_namespace) {
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
