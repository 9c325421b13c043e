// PID 1 of an agent's sandbox: takes the launch plan from control, starts the agent, forwards its
// calls and logs, reaps orphans, stops it when told, and ends with it. Thread: the loop's. It
// trusts control, and nothing that the agent does or sends.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/mapped_status_page.h"
#include "worker/agent_calls.h"
#include "worker/attach_client.h"
#include "worker/grpc_channel.h"
#include "worker/launcher.h"
#include "worker/log_forwarder.h"
#include "worker/probes.h"
#include "worker/refused_calls.h"

namespace flodea::worker {

class Worker final : private AttachClient::Handler, private Probes::Listener {
 public:
  static constexpr Nanos kHeartbeat = std::chrono::seconds(1);
  static constexpr Nanos kFlushLimit =
      std::chrono::seconds(2);  // for the last log lines, if nobody reads the pipe

  // // The agent loads `agent_filter` before its execve, the worker `own_filter` right after it has
  // forked. SIGCHLD must be blocked in the whole process.
  static Result<std::unique_ptr<Worker>> create(StatusPageWriter page, SeccompFilter agent_filter,
                                                SeccompFilter own_filter);
  // Returns once the agent has ended, nothing of it is left, and its logs are in the pipe.
  Status run();

 private:
  Worker(std::unique_ptr<EventLoop> loop, StatusPageWriter page, SeccompFilter agent_filter,
         SeccompFilter own_filter, UniqueFd children, UniqueFd deadline);
  Status start();

  void on_attach(AttachOffer offer) override;
  void on_stop(Nanos grace, std::string_view reason) override;
  void on_set_deadline(Nanos boot) override;
  void on_probe_result(ProbeKind kind, std::string_view output) override;
  void on_probe_slow(ProbeKind kind) override;

  void launch(const LaunchPlan& plan, CallLimits limits);
  Status adopt(Launched launched, const LaunchPlan& plan, CallLimits limits);
  void restriction_failed(const Error& error);
  void launch_failed(const Error& error);
  void read_reports();
  void agent_started(Nanos exec_boot);
  void reap();
  void agent_ended(int wait_status);
  void children_gone();
  void end_now(int signal);
  void kill_all();
  void finish();
  void beat();
  void say_denied();

  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_;
  StatusPageWriter page_;
  SeccompFilter agent_filter_;
  SeccompFilter own_filter_;
  Result<LandlockDomain> domain_;  // the agent's; made before the plan comes
  UniqueFd children_;              // signalfd of SIGCHLD
  UniqueFd deadline_;              // timerfd on CLOCK_BOOTTIME
  AttachClient attach_;
  LogForwarder logs_;
  RefusedCalls refused_;
  GrpcChannels channels_;
  AgentCalls calls_;
  Probes probes_;

  enum class State { kIdle, kLaunching, kRunning, kEnded } state_ = State::kIdle;
  bool finishing_ = false;
  PidFd agent_;
  UniqueFd report_;
  std::optional<LaunchReport> last_report_;
  std::string executable_;
  Nanos begun_{};  // CLOCK_BOOTTIME, as the three below
  Nanos attached_{};
  Nanos forked_{};
  Nanos started_{};
  std::optional<Nanos> kill_at_;  // CLOCK_MONOTONIC
  EventLoop::TimerId kill_timer_ = 0;
  bool exit_signaled_ = false;
  std::int32_t exit_value_ = 0;
  std::string exec_error_;
};

}  // namespace flodea::worker
