// The agent's ext4 on its volume: made, checked, mounted where nobody sees it. All of it blocks,
// and parses a disk that a hostile agent has written through the kernel's ext4: flodea-helper only,
// in a process of its own, single-threaded.
#pragma once

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace flodea::volume {

// On disk: agent/{upper,work} and upper/data (1000:1000) for the sandbox's overlay; store/ for
// flodea-control's database.
inline constexpr const char* kAgentDir = "agent";
inline constexpr const char* kStoreDir = "store";

// A detached mount of the whole file system on `device` ("/dev/loopN"): errors=remount-ro, nosuid,
// nodev. Checked by `e2fsck -p` first when it is marked as damaged. kDataLoss: no ext4, or damaged
// beyond that.
Result<UniqueFd> mount_file_system(const std::string& device);

// mke2fs on the regular file `image`, laid out by geometry_for(usable); the file must read as
// zeros.
Status format_image(int image, std::uint64_t usable);

// Whether `device` (file or block device) begins like an ext4.
Result<bool> has_file_system(int device);

// The directories above, below the root of a mount. Content with those that are there.
Status make_tree(int mount);

// A detached copy of the subtree `name` of `mount`; `..` of it stays inside. Needs the private
// namespace: until Linux 6.15 only what is attached can be copied.
Result<UniqueFd> detach_subtree(int mount, const char* name);

// Shows a detached mount's owners through `user_namespace` (mount_setattr(2), MOUNT_ATTR_IDMAP).
Status map_owners(int mount, int user_namespace);

// A volume may come up read-only without an error (errors=remount-ro, a failed probe of the image):
// writes and removes an unnamed file.
Status check_writable(int directory);

}  // namespace flodea::volume
