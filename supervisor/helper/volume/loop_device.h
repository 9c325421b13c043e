// Loop devices by ioctl (loop(4)): direct I/O, 4 KiB sectors, freed by the kernel when the last
// user is gone. In flodea-helper only.
#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "supervisor/helper/volume/loop_identity.h"

namespace flodea::volume {

struct LoopDevice {
  UniqueFd fd;       // while it is open, or something is mounted from it, the device lives
  std::string path;  // "/dev/loopN"
  LoopIdentity identity;
};

// Blocks while the backing file does (until the vault answers).
Result<LoopDevice> attach_loop(int backing_file);

Status set_read_ahead(const LoopDevice& device, std::uint64_t bytes);

// What the device of this number is at the moment: nullopt when it is free.
Result<std::optional<LoopIdentity>> inspect_loop(int number);

}  // namespace flodea::volume
