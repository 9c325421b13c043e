// flodead's middle: takes control's requests to instances and volumes, keeps the totals, starts the
// services again, ends in order. Thread: flodead's only one.
#pragma once

#include "supervisor/root/agent_turns.h"
#include "supervisor/root/control_link.h"
#include "supervisor/root/instance.h"
#include "supervisor/root/jobs.h"
#include "supervisor/root/service.h"

namespace flodea::root {

class Reload;

// The totals that flodead itself allows, whatever control asks.
struct Totals {
  std::uint32_t agents = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t disk_bytes = 0;  // 0: what the file system has, less 5 % of it
};

struct SupervisorParts {
  EventLoop& loop;
  InstanceContext& instances;
  Volumes& volumes;
  Jobs& jobs;
  VaultLink& vault;
  Totals totals;
  v1::Host host;
  int volumes_dir = -1;
  int keys_dir = -1;
  int state_dir = -1;
  int operators = -1;  // listening socket
  std::string operators_path;
  std::vector<std::string> control_arguments;  // after --epoch N
  std::vector<std::string> vault_arguments;
  Nanos shutdown_timeout{};
  std::uint64_t epoch = 0;    // of the last control
  std::uint64_t reloads = 0;  // earlier lives that this one took over from
  std::string began;          // how this life began, for the event; empty: from nothing
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorParts parts);

  // Set before `start`: they are given their life by the functions below.
  void use_services(Service& vault, Service& control) {
    vault_service_ = &vault, control_service_ = &control;
  }
  void use_reload(Reload& reload) { reload_ = &reload; }
  Service::Callbacks vault_callbacks();
  Service::Callbacks control_callbacks();

  // Before `start`: what an earlier life left. Its volumes want a vault at once.
  void adopt(EarlierLife life);
  Status start();
  const v1::Host& host() const { return parts_.host; }
  void set_host(const v1::Host& host) { parts_.host = host; }
  void on_instance_exit(const v1::InstanceExited& exit);
  void on_volume_lost(const AgentId& agent);
  // The first asks control to stop every agent; the second does not wait.
  void on_terminate();
  int exit_status() const { return exit_status_; }

  // For `Reload` (supervisor_kept.cc): what the next program goes on from; what is under way, in
  // words.
  v1::KeptState keep() const;
  std::string under_way() const;
  bool stopping() const { return stopping_; }
  void hold_starts(bool hold);  // requests that make something wait meanwhile
  OneShot<bool> end_control();  // resolved when it has been reaped
  bool control_runs() const { return control_service_->running(); }
  void begin_control_again();
  void announce_self(const std::string& why);

 private:
  struct Answer {
    v1::Reply reply;
    std::vector<int> fds;           // kept by an instance, sent in this turn
    std::vector<UniqueFd> given{};  // sent after them, and then closed
  };
  using Verb = Async<Answer> (Supervisor::*)(v1::Request);

  Result<ServiceLife> vault_life();
  Result<ServiceLife> control_life();
  Service::After vault_ended(ExitStatus status);
  Service::After control_ended(ExitStatus status);
  Status hand_control_to_vault();
  void announce(const Service& service, const char* why);

  void on_message(FdMessage message);
  void refuse(std::string_view bytes, const Error& error);
  Detached serve(v1::Request request);
  Status adopt_vault(RunningService vault);
  void adopt_instance(EarlierInstance earlier);
  static Verb find_verb(v1::Request::VerbCase verb);
  Async<Answer> hello(v1::Request request);
  Async<Answer> create_volume(v1::Request request);
  Async<Answer> start_instance(v1::Request request);
  Async<Answer> kill(v1::Request request);
  Async<Answer> release(v1::Request request);
  Async<Answer> destroy_volume(v1::Request request);
  Async<Answer> set_deadline(v1::Request request);
  Async<Answer> freeze(v1::Request request);
  Async<Answer> list(v1::Request request);
  Async<Answer> adopt(v1::Request request);
  Async<Answer> run_job(v1::Request request);
  Async<Answer> reload(v1::Request request);

  Instance* find(const std::string& agent_id, std::uint64_t generation);
  Status admit(const v1::StartRequest& request) const;
  Status admit_memory(std::uint64_t bytes) const;
  Status admit_volume(std::uint64_t device_bytes) const;
  Answer started_answer(const Instance& instance) const;
  void describe(const Instance& instance, v1::Instance& out) const;

  void fail_start(int status);
  Detached finish();
  Async<void> end_instances();
  void end_vault();

  SupervisorParts parts_;
  Service* vault_service_ = nullptr;
  Service* control_service_ = nullptr;
  ControlLink control_;
  AgentTurns turns_;
  std::map<AgentId, std::unique_ptr<Instance>> instances_;
  UniqueFd marks_;           // of control's calls, for each of its lives
  Nanos control_crashed_{};  // monotonic; told to its next life
  UniqueFd
      vault_end_;  // the vault's end of the present control ↔ vault pair, for the vault's next life
  std::uint64_t epoch_ = 0;
  std::size_t requests_ = 0;          // under way, whoever asked
  std::uint64_t creating_bytes_ = 0;  // admitted, and perhaps not yet on the disk
  struct Held {
    v1::Request request;
    std::uint64_t life;
  };
  Reload* reload_ = nullptr;
  bool holding_starts_ = false;
  std::vector<Held> held_;  // in their order
  std::optional<OneShot<bool>> control_gone_;
  bool stopping_ = false;
  bool finishing_ = false;
  bool vault_told_ = false;  // to end
  int exit_status_ = 0;
};

}  // namespace flodea::root
