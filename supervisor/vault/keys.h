// The node key and the keys it wraps: the only place where either is stored. docs/volumes.md has
// the format.
//
//   keys/node.key       32 random bytes, 0400, read by nobody but the vault
//   keys/<agentid>.key  the agent's volume key and log key, each sealed by XChaCha20-Poly1305 under
//   the node key with
//                       (purpose, agent id) as associated data, so that neither can be passed off
//                       as another's
//
// Losing node.key loses every agent's data; leaking it together with the images reveals them. One
// thread; calls block on the disk.
#pragma once

#include <optional>
#include <string>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/secret.h"

namespace flodea::vault {

class KeyStore {
 public:
  // A control that was taken over must not fill the disk with log keys.
  static constexpr std::size_t kMaxKeyFiles = 65'536;

  // Makes node.key if `keys_dir` holds no wrapped keys. kFailedPrecondition: there are some, but
  // node.key is missing or of a wrong size: a new one would make them useless. With a node.key that
  // opens none of them the store opens, and every verb answers kDataLoss "wrong node key" (so that
  // an operator sees it at the agent that was started).
  static Result<KeyStore> open(UniqueFd keys_dir);

  // The keys of `agent`, made where there are none.
  Result<VolumeKey> make_volume_key(const AgentId& agent);
  Result<LogKey> make_log_key(const AgentId& agent);
  // Of machine code that control keeps: derived from the node key, never stored.
  Result<LogKey> code_key() const;
  // kNotFound without a key; kDataLoss when the node key does not open it.
  Result<VolumeKey> volume_key(const AgentId& agent) const;

  // Overwrites and removes both keys. The digest is SHA-256 over the wrapped volume key, hex ("" if
  // there was only a log key); nullopt when there was nothing. Durable on return.
  Result<std::optional<std::string>> destroy(const AgentId& agent);

 private:
  struct KeyFile;
  KeyStore(UniqueFd dir, NodeKey node_key) : dir_(std::move(dir)), node_key_(std::move(node_key)) {}
  Status check_node_key();
  Status require_right_key() const;
  template <std::size_t N>
  Result<Secret<N>> make(const AgentId& agent, std::string KeyFile::* slot, int purpose);
  Result<std::optional<KeyFile>> load(const AgentId& agent) const;
  Status store(const AgentId& agent, const KeyFile& file, bool is_new);

  UniqueFd dir_;
  NodeKey node_key_;
  std::size_t files_ = 0;
  bool wrong_node_key_ = false;
};

}  // namespace flodea::vault
