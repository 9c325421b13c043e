// Control's side of the attach protocol (proto/flodea/attach/v1) with one worker: sends it what to
// launch and when to stop, hears how it goes. Owner: the instance that control keeps for that
// worker; core thread only; no method blocks. A worker may be hostile: what it sends is bounded (a
// rate of messages, past which its socket is simply left unread), garbage is counted and ignored,
// answers to an older control's epoch too, and descriptors it sends are closed. Its texts are made
// fit here, once, for logs, events and operators: short lines of valid UTF-8 without control
// characters; of the phases of a start only known names are taken. What it says here is advice;
// that it ended is known from flodead, how it ended from the status page.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/call_marks.h"
#include "base/event_loop.h"
#include "base/fd_message.h"
#include "base/ids.h"
#include "base/status_page.h"
#include "runtimes/runtime.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

struct WorkerHello {
  std::string version;
  std::uint32_t min_protocol = 0, max_protocol = 0;
  bool agent_running = false;
};

struct DeniedSyscall {
  std::string name;
  std::uint64_t count = 0;
};

class WorkerEvents {
 public:
  virtual ~WorkerEvents() = default;
  virtual void on_hello(const WorkerHello& hello) = 0;
  virtual void on_started(Nanos exec_boot, std::vector<PhaseTime> phases) = 0;
  virtual void on_refused(const std::string& why) = 0;
  virtual void on_denied(const std::vector<DeniedSyscall>& calls) = 0;
  // A look at the status page is worth while; `output`: what the run printed last.
  virtual void on_probe_result(ProbeKind kind, const std::string& output) = 0;
  virtual void on_probe_slow(ProbeKind kind) = 0;
};

struct LaunchOrder {
  LaunchPlan plan;
  std::uint32_t open_files = 0;
  std::uint32_t pids = 0;
  bool drop_logs = false;
  std::optional<ExecProbe> startup, readiness, liveness;
};

class WorkerLink {
 public:
  static constexpr std::uint32_t kProtocol = 1;
  static constexpr double kMessagesPerSecond = 50;
  static constexpr double kMessageBurst = 100;

  // `events` must outlive the client. `mark` says when control is at a message of this worker's.
  static Result<std::unique_ptr<WorkerLink>> create(EventLoop& loop, UniqueFd socket, Epoch epoch,
                                                    WorkerEvents& events, CallMarks::Row mark = {});
  ~WorkerLink();

  // The first message of each control; `calls` is the worker's end of its fresh gRPC socketpair.
  void attach(const LaunchOrder& order, UniqueFd calls);
  void stop(Nanos grace, const std::string& reason);
  void set_deadline(Nanos boot);
  std::uint64_t ignored() const {
    return ignored_;
  }  // messages that were garbage or of another epoch

 private:
  WorkerLink(EventLoop& loop, UniqueFd socket, Epoch epoch, WorkerEvents& events,
             CallMarks::Row mark);
  void send(FdMessage message);
  void flush();
  void turn(std::uint32_t events);
  void take(const std::string& bytes);
  bool within_rate();
  void rest();
  void listen();

  EventLoop& loop_;
  UniqueFd socket_;
  Epoch epoch_;
  WorkerEvents& events_;
  std::shared_ptr<CallMarks::Row> mark_;  // shared: an event may be the end of this object
  std::deque<FdMessage> unsent_;
  SystemClock clock_;
  double allowance_ = kMessageBurst;
  Nanos counted_at_{};
  EventLoop::TimerId resting_ = 0;
  bool closed_ = false;
  std::uint64_t ignored_ = 0;
};

}  // namespace flodea::control
