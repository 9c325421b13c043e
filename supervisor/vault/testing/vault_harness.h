// Plays flodead to a real flodea-vault: makes the state directories, starts the program on its
// descriptors as its user, keeps each /dev/fuse, starts it again after a kill, runs the volume
// verbs in processes of their own. For tests and benches; needs root.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/pid_fd.h"
#include "base/unique_fd.h"
#include "flodea/vault/v1/vault.pb.h"
#include "supervisor/helper/volume/volume.h"

namespace flodea::vault::testing {

// What an agent's instance holds of its volume.
struct OpenVolume {
  UniqueFd agent_tree;
  UniqueFd store_tree;
  volume::LoopIdentity loop;
};

class VaultHarness {
 public:
  // `program`: path of flodea-vault. State lives in a fresh directory below `parent`, removed with
  // the harness.
  static Result<std::unique_ptr<VaultHarness>> create(const std::string& program,
                                                      const std::string& parent = "/tmp");
  ~VaultHarness();

  Status start_vault();                       // takes over what is being served
  Result<ExitStatus> kill_vault(int signal);  // and waits for its end
  Result<ExitStatus> wait_vault();            // until it ends by itself
  void hang_up();                             // as a flodead that dies: its sockets close
  pid_t vault_pid() const { return process_.pid(); }

  enum class Socket { kRoot, kControl };
  Result<v1::Reply> call(Socket socket, v1::Request request, const std::vector<int>& fds = {});

  // The whole life of a volume, as flodead leads it. Errors of the vault come back with their code,
  // message and remedy.
  Status create_volume(const AgentId& agent, std::uint64_t usable);
  Result<OpenVolume> open_volume(const AgentId& agent);
  Status close_volume(const AgentId& agent, OpenVolume volume);
  // Only the connection: /dev/fuse is kept, the mount is returned.
  Result<UniqueFd> serve(const AgentId& agent);
  Status stop(const AgentId& agent);

  int device(const AgentId& agent) const { return devices_.at(agent).get(); }
  std::string image_path(const AgentId& agent) const {
    return dir_ + "/volumes/" + agent.text() + ".img";
  }
  std::string keys_path() const { return dir_ + "/keys"; }
  const std::string& dir() const { return dir_; }

 private:
  VaultHarness(std::string program, std::string dir)
      : program_(std::move(program)), dir_(std::move(dir)) {}
  Status make_dirs();
  Status spawn(int root, int control);
  Status serve_kept(const AgentId& agent, int device, bool resume);

  std::string program_;
  std::string dir_;
  PidFd process_;
  UniqueFd root_;
  UniqueFd control_;
  UniqueFd control_user_namespace_;
  std::map<AgentId, UniqueFd> devices_;
  std::uint64_t next_id_ = 1;
};

Result<uid_t> flodea_uid();  // of flodea-control

// A user namespace in which 0 is `host_uid` and nothing else exists: what flodead makes for
// flodea-control.
Result<UniqueFd> make_user_namespace(uid_t host_uid);

}  // namespace flodea::vault::testing
