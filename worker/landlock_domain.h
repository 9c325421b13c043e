// A Landlock ruleset ready to be entered (policy/landlock.h says what is in it): made while there
// is time, entered with one system call. A kernel that offers Landlock but refuses a ruleset is an
// error, never a weaker sandbox.
#pragma once

#include "base/unique_fd.h"
#include "policy/landlock.h"

namespace flodea::worker {

// What this kernel offers; 0: none, or turned off at boot.
std::uint32_t offered_landlock_abi();

class LandlockDomain {
 public:
  // `root` is what the rules' absolute paths begin at.
  static Result<LandlockDomain> create(const landlock::Policy& policy,
                                       const std::string& root = "");

  std::uint32_t abi() const { return abi_; }      // 0: there is nothing to enter
  int ruleset() const { return ruleset_.get(); }  // -1 with ABI 0; closes on exec

 private:
  LandlockDomain(std::uint32_t abi, UniqueFd ruleset) : abi_(abi), ruleset_(std::move(ruleset)) {}
  std::uint32_t abi_ = 0;
  UniqueFd ruleset_;
};

// For the calling thread and what it starts, for ever; no_new_privs must be set. -1: nothing to do.
// Async-signal-safe: 0 or an errno.
int enter_landlock(int ruleset);

}  // namespace flodea::worker
