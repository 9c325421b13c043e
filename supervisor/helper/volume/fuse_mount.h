// A FUSE connection for one volume, mounted nowhere. flodead makes it, keeps `device`, sends a copy
// of it to flodea-vault (vault.v1 Serve) and `mount` to flodea-helper. Part of flodea_volume, which
// links no libfuse.
#pragma once

#include "base/unique_fd.h"

namespace flodea::volume {

struct FuseMount {
  UniqueFd device;  // /dev/fuse, O_NONBLOCK. Nobody but flodead and the vault may hold it. POLLERR:
                    // the file system is gone for good
  UniqueFd
      mount;  // detached, nosuid, nodev, noexec; holds the file "image" once the vault serves it
};

// Needs CAP_SYS_ADMIN. Never blocks: the kernel's INIT waits on the device for the vault. What
// *uses* the mount blocks until then, so flodead never does.
Result<FuseMount> make_fuse_mount();

// Whether a killed vault can be continued on this kernel (FUSE_NOTIFY_RESEND, Linux ≥ 6.9). Asks
// the kernel, not its version.
Result<bool> can_continue_vault();

}  // namespace flodea::volume
