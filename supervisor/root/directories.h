// The state and run directories: made with their owners and modes, refused if somebody else has
// made them otherwise. Also the run-dir's lock and the operators' listening socket.
#pragma once

#include "supervisor/root/config.h"
#include "supervisor/root/process.h"

namespace flodea::root {

struct Users {
  Identity control;  // flodea
  Identity vault;    // flodea-vault
};
Result<Users> find_users();

struct Directories {
  UniqueFd state;  // O_RDONLY, as the others
  UniqueFd volumes;
  UniqueFd keys;
  UniqueFd bundles;
  UniqueFd run;
  std::string run_path;  // absolute, as the next
  std::string state_path;
};
Result<Directories> open_directories(const Config& config, const Users& users);

// Without links, "." and "..".
Result<std::string> absolute_path(const std::string& path);

// kFailedPrecondition names the holder's pid. The lock goes with the descriptor.
Result<UniqueFd> lock_run_dir(int run_dir);

// run-dir/control.sock, 0660 root:flodea, listening.
Result<UniqueFd> listen_for_operators(int run_dir, gid_t group);

}  // namespace flodea::root
