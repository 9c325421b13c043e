// Agents' encrypted volumes from flodead's side: the vault serves, a helper mounts, flodead keeps
// each volume's /dev/fuse so that a vault that was killed can be continued. Nothing here waits for
// a disk: the last holder of a mount is always a helper.
#pragma once

#include <functional>
#include <map>

#include "base/ids.h"
#include "supervisor/root/helpers.h"
#include "supervisor/root/vault_link.h"

namespace flodea::root {

// An open volume's descriptors, as far as this process still holds them.
struct OpenVolume {
  UniqueFd netns;
  UniqueFd agent_tree;
  UniqueFd store;
  std::string loop;  // volume::LoopIdentity, encoded; empty: nothing was mounted
  std::vector<std::pair<std::string, std::uint64_t>> phases;
};

class Volumes {
 public:
  // `control_userns` maps 0 to control's user. `lost` is told of agents whose volume a new vault
  // could not take up.
  Volumes(VaultLink& vault, Helpers& helpers, UniqueFd control_userns,
          std::function<void(const AgentId&)> lost)
      : vault_(vault),
        helpers_(helpers),
        control_userns_(std::move(control_userns)),
        lost_(std::move(lost)) {}

  Async<bool> create(AgentId agent, std::uint64_t usable_bytes);  // false: it was there
  // In two steps, so that the caller can do its own part while the vault and the helper do theirs;
  // what was begun must be finished.
  struct Opening {
    OneShot<vault::v1::Reply> serving;
    OneShot<HelperReply> preparing;
  };
  Result<Opening> begin_open(const AgentId& agent);
  Async<OpenVolume> finish_open(AgentId agent, Opening opening);
  // Gives up what is left of the descriptors; the leftovers, if any, after kCloseDeadline.
  Async<std::vector<std::string>> close(AgentId agent, OpenVolume volume);
  Async<vault::v1::DestroyReply> destroy(AgentId agent);

  // Across lives of flodead: an open volume's /dev/fuse (-1: it is not open), and one that an
  // earlier life had opened.
  int device_of(const AgentId& agent) const;
  void adopt(const AgentId& agent, UniqueFd device) { devices_[agent] = std::move(device); }

  // A new vault is there: it takes up every open volume.
  Detached resume_all();
  // No vault can take them up: the connections are aborted, so that nothing waits for an answer for
  // ever.
  void abandon_all();
  // At flodead's own end, however it comes: closes every connection here. Agents that still run
  // have theirs by their vault.
  void let_go() { devices_.clear(); }
  bool can_resume() const { return can_resume_; }
  void set_can_resume(bool can) { can_resume_ = can; }
  std::size_t open_count() const { return devices_.size(); }

  static constexpr Nanos kCloseDeadline = std::chrono::seconds(10);

 private:
  OneShot<vault::v1::Reply> serve(const AgentId& agent, const char* mode);
  Async<void> stop(AgentId agent);
  Async<void> make_filesystem(AgentId agent, std::uint64_t usable_bytes);
  Async<std::vector<std::string>> close_device(AgentId agent, std::string loop,
                                               std::vector<UniqueFd> trees);
  Async<std::vector<std::string>> close_trees(AgentId agent, std::string loop,
                                              std::vector<UniqueFd> trees);

  VaultLink& vault_;
  Helpers& helpers_;
  UniqueFd control_userns_;
  std::function<void(const AgentId&)> lost_;
  std::map<AgentId, UniqueFd> devices_;
  bool can_resume_ = false;
};

}  // namespace flodea::root
