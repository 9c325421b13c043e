// The file systems that are compared, each on an image or directory below the same directory of the
// host's disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace flodea::bench {

class Target {
 public:
  virtual ~Target() = default;
  virtual std::string name() const = 0;
  virtual std::string dir() const = 0;  // where workloads run
};

// flodea-vault: started first, in the host's mount namespace, so that it is never inside what it
// serves. `dir` must be on the disk to be measured. All others attach in the private mount
// namespace that the caller enters in between.
class VaultTarget : public Target {
 public:
  virtual Status attach(const std::string& mount_point) = 0;
};
Result<std::unique_ptr<VaultTarget>> start_vault_target(const std::string& program,
                                                        const std::string& dir,
                                                        std::uint64_t bytes);

// The same ext4 with the same options on the same kind of loop device, unencrypted: what the ratios
// are against.
Result<std::unique_ptr<Target>> make_plain_target(const std::string& dir, std::uint64_t bytes);
// kNotFound when gocryptfs is not installed.
Result<std::unique_ptr<Target>> make_gocryptfs_target(const std::string& dir);

}  // namespace flodea::bench
