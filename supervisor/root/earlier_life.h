// What a flodead goes on from: the agents of an earlier life of it, however that ended. After a
// reload it is all there (kept_state.h); after a kill -9 it is what could be taken from the workers
// and the vault (takeover.h).
#pragma once

#include <vector>

#include "base/pid_fd.h"
#include "flodea/root/v1/kept.pb.h"
#include "supervisor/root/process.h"

namespace flodea::root {

struct InstanceDescriptors {
  PidFd worker;
  FdPair attach;  // control's end, the worker's
  FdPair log;     // read, write
  UniqueFd status_page;
  UniqueFd store;
  UniqueFd device;  // /dev/fuse
};

struct EarlierInstance {
  v1::KeptInstance kept;
  InstanceDescriptors descriptors;
};

// The vault that goes on; none: not valid.
struct RunningService {
  PidFd process;
  UniqueFd socket;  // flodead's end
  ProgramId program;
  std::uint64_t restarts = 0;
};

struct EarlierLife {
  std::uint64_t epoch = 0;    // of its last control
  std::uint64_t reloads = 0;  // lives before this one, itself included
  std::vector<EarlierInstance> instances;

  // After a reload only.
  bool reloaded = false;
  std::string program;    // flodead's path, as it was started first
  std::string directory;  // its working directory then
  UniqueFd lock;
  UniqueFd operators;
  RunningService vault;
  std::uint64_t control_restarts = 0;
};

}  // namespace flodea::root
