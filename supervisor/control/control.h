// flodea-control, wired: every part made once, in the order in which they need each other, each
// given what it needs by constructor. Thread: the core thread is the one that calls `run`. The
// parts' own threads: log store, gateway (guard, stores), gRPC, metrics.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace flodea::control {

struct ControlConfig {
  std::uint64_t epoch = 0;   // that flodead gave this life; checked against its Hello
  std::string metrics;       // ADDR:PORT; empty: not served
  std::string pressure;      // PSI of memory, of this host or of its cgroup; empty: not looked at
  std::string state_dir;     // its path; the descriptor is fd_layout::control::kStateDir
  std::int64_t crashed = 0;  // CLOCK_MONOTONIC: when the control before crashed; 0: it did not
};

// The inherited descriptors, each checked to be what it must be.
struct ControlFds {
  UniqueFd root;       // SEQPACKET to flodead
  UniqueFd vault;      // SEQPACKET to flodea-vault
  UniqueFd operators;  // listening unix socket
  UniqueFd state_dir;  // O_PATH
  UniqueFd marks;      // of calls; none from a flodead that is older
};

class Control {
 public:
  // Opens what is on disk. kDataLoss, kFailedPrecondition, kInvalidArgument: starting again will
  // not help.
  static Result<std::unique_ptr<Control>> create(ControlConfig config, ControlFds fds);
  ~Control();
  // Takes over what runs, serves until flodead asks for the end (then success) or is gone.
  Status run();

 private:
  struct Parts;
  explicit Control(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace flodea::control
