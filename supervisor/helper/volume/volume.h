// The volume verbs of flodea-helper. Root, single-threaded, in a process of its own with a
// deadline, because each of them waits for the vault and the disk. What flodead itself calls
// (fuse_mount.h, geometry.h, loop_identity.h) is in flodea_volume instead.
//
// Order, per instance:  make_fuse_mount → vault Serve → mount_volume → open_trees → … → everything
// closed → verify_closed → vault Stop. For a new volume:     vault Create (device_size_for) →
// make_fuse_mount → vault Serve → make_filesystem → verify_closed → vault Stop.
//
// Another backend (luks) gives a block device instead of a FUSE mount and shares everything from
// mount_file_system on.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "supervisor/helper/volume/loop_identity.h"

namespace flodea::volume {

// The file "image" of a FUSE mount becomes an ext4 with the agent's directories. One that has them
// already is left as it is, so the verb may be repeated; a file system that does not mount is an
// error, never formatted anew. Returns the loop device it used, which frees itself once this
// process has ended: verify_closed awaits that.
Result<LoopIdentity> make_filesystem(int fuse_mount, std::uint64_t usable_bytes);

struct OpenedVolume {
  UniqueFd agent_tree;  // detached mount of agent/, owners as on disk: the sandbox maps it
  UniqueFd store_tree;  // detached mount of store/, on-disk 0 is the user that
                        // `control_user_namespace` maps 0 to
  LoopIdentity loop;
};
// Leaves the host's mount namespace for good: nothing this process attaches from then on is seen by
// anyone else. Once, before the two below.
Status enter_private_mount_namespace();
// Whatever holds one of the two trees holds the volume. Needs CAP_SYS_ADMIN in the initial user
// namespace. Both once, then reply and exit.
struct MountedImage {
  UniqueFd root;
  LoopIdentity loop;
};
Result<MountedImage> mount_volume(int fuse_mount);
Result<OpenedVolume> open_trees(MountedImage mounted, int control_user_namespace);

// Waits until the file system behind `fuse_device` is gone for good and its loop device with it.
// kDeadlineExceeded says what is left. `fuse_device` -1: only asks about the loop device, now.
// `timeout` counts from the call.
Status verify_closed(const LoopIdentity& loop, int fuse_device, Nanos timeout);

}  // namespace flodea::volume
