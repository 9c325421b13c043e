// Starting a program of ours by descriptor (execveat), with exactly the identity, capabilities and
// descriptors that it is given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pid_fd.h"

namespace flodea::root {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct ProgramSpec {
  int executable = -1;
  std::vector<std::string> argv;
  std::vector<std::pair<int, int>>
      fds;  // this descriptor there under that number; 0 is /dev/null, 1 and 2 are flodead's
  std::optional<Identity> identity;  // none: stays root with everything root has (flodea-helper)
  std::vector<int> ambient;          // capabilities kept across the change of identity
  int parent_death_signal = 0;
  int cgroup = -1;  // directory of a v2 group to start in; -1: flodead's own
};

// Whether a program on disk is the one that runs.
struct ProgramId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const ProgramId&) const = default;
};
Result<ProgramId> program_id(int executable);

// Waits until the program is executed (or could not be): the time of one exec.
Result<PidFd> spawn_program(const ProgramSpec& spec);

}  // namespace flodea::root
