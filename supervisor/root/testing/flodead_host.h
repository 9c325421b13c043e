// A real flodead with the real vault and helper, a probe in every worker's place, and the test
// itself in control's: it speaks the root protocol on the descriptor that control_stub was given.
// Every wait has a deadline. It runs in a mount namespace of the test program's own (own_mounts.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd_message.h"
#include "base/ids.h"
#include "base/pid_fd.h"
#include "flodea/root/v1/root.pb.h"

namespace flodea::root::testing {

struct Answered {
  v1::Reply reply;
  std::vector<UniqueFd> fds;
};

class FlodeadHost {
 public:
  explicit FlodeadHost(std::vector<std::string> arguments = {});
  ~FlodeadHost();  // kill -9 and the undoing of a next life, if `stop` was not called

  void launch();          // again, after `kill`
  void accept_control();  // the next life of control_stub
  void end_control(int status);
  int stop();  // SIGTERM, control ends with 0; flodead's exit status
  int wait_end();
  void kill();  // kill -9
  void signal(int number);
  // Refused: the answer. Else there is none, but a next life of control: `accept_control`.
  std::uint64_t send_reload();

  std::uint64_t send(v1::Request request);
  Answered wait_reply(std::uint64_t id);
  Answered ask(v1::Request request) { return wait_reply(send(std::move(request))); }
  v1::Reply wait_event(const std::function<bool(const v1::Reply&)>& wanted);

  Answered create_volume(const AgentId& agent, std::uint64_t bytes = 16 << 20);
  v1::StartRequest start_request(const AgentId& agent, std::uint64_t generation) const;
  Answered start(const AgentId& agent, std::uint64_t generation,
                 const std::function<void(v1::StartRequest&)>& change = {});
  Answered kill_instance(const AgentId& agent, std::uint64_t generation);
  Answered release(const AgentId& agent, std::uint64_t generation);
  Answered destroy(const AgentId& agent);

  // Runs testing/job_probe.cc with these arguments, in the place of a program of Flodea's.
  Answered run_job(std::vector<std::string> arguments,
                   const std::function<void(v1::RunJobRequest&)>& change = {});

  pid_t pid() const { return flodead_.pid(); }
  // Returns when no helper is left but the one that stands ready: one answers before it ends.
  void settle();
  // flodead's child of this name: never a number that kill(2) would take for a group.
  PidFd child_named(const std::string& name) const;
  void kill_service(const std::string& name);  // kill -9; returns when its next life is announced
  const std::string& dir() const { return dir_; }
  const std::string& control_arguments() const { return control_arguments_; }
  std::string log() const;

 private:
  std::vector<PidFd> children_named(const std::string& name) const;

  std::string dir_;
  std::vector<std::string> arguments_;
  PidFd flodead_;
  UniqueFd listener_;
  UniqueFd stub_;
  std::vector<UniqueFd> control_fds_;
  std::string control_arguments_;
  std::vector<Answered> unread_;
  std::uint64_t next_id_ = 1;
};

// What the probe answers on an attach socket.
std::string ask_probe(int attach, const std::string& command);

}  // namespace flodea::root::testing
