// A real flodea-worker as PID 1 of fresh user and PID namespaces, with descriptors as flodead
// arranges them, for tests and benches. Everything ends with the harness: killing the worker ends
// its namespace.
#pragma once

#include <linux/filter.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_frame.h"
#include "base/mapped_status_page.h"
#include "base/pid_fd.h"
#include "flodea/attach/v1/attach.pb.h"

namespace flodea::worker::testing {

using Filter = std::vector<sock_filter>;
Filter allow_everything();
// policy/profiles/NAME.json as flodead would hand it over. Aborts if it does not compile.
Filter profile(const std::string& name);
// All is allowed, but what is named: `action` is a SECCOMP_RET_* value.
Filter refuse(std::initializer_list<int> syscalls, std::uint32_t action);

// What is waited for comes by itself: only against a hang.
inline constexpr int kGuardMs = 20'000;

struct HarnessOptions {
  std::string worker;  // path of flodea-worker
  Filter worker_filter = profile("worker");
  Filter agent_filter = profile("python");
  int log_pipe_bytes = 0;  // F_SETPIPE_SZ, 0: the kernel's default
};

class WorkerHarness {
 public:
  // No namespaces here, no worker: an error, never a weaker sandbox.
  static Result<WorkerHarness> start(const HarnessOptions& options);
  WorkerHarness(WorkerHarness&&) = default;
  WorkerHarness& operator=(WorkerHarness&&) = default;
  ~WorkerHarness();

  // One end of a fresh socketpair goes to the worker with the message, the other is returned for a
  // gRPC server.
  Result<UniqueFd> attach(std::uint64_t epoch, const std::optional<attach::v1::LaunchPlan>& plan);
  // The same with a socket that somebody else serves.
  Status offer(std::uint64_t epoch, const std::optional<attach::v1::LaunchPlan>& plan,
               UniqueFd socket);
  Status send(const attach::v1::ToWorker& message);
  Result<attach::v1::FromWorker> receive(int timeout_ms = kGuardMs);
  // Skips messages until `kind` (of the oneof).
  Result<attach::v1::FromWorker> receive(attach::v1::FromWorker::MessageCase kind,
                                         int timeout_ms = kGuardMs);

  // The next frame of the log pipe.
  Result<LogFrame> next_log(int timeout_ms = kGuardMs);
  // Frames until one has this text.
  Result<std::vector<LogFrame>> logs_until(std::string_view text, int timeout_ms = kGuardMs);
  // What is in the pipe now.
  std::vector<LogFrame> remaining_logs();

  Result<StatusSnapshot> status() const { return page_.read(); }
  Result<HealthSnapshot> health() const { return page_.read_health(); }
  Result<bool> ended(int timeout_ms = kGuardMs) const { return process_.ended(timeout_ms); }
  const PidFd& process() const { return process_; }

 private:
  WorkerHarness(PidFd process, UniqueFd attach, UniqueFd log, StatusPageReader page)
      : process_(std::move(process)),
        attach_(std::move(attach)),
        log_(std::move(log)),
        page_(std::move(page)) {}
  PidFd process_;
  UniqueFd attach_;
  UniqueFd log_;
  StatusPageReader page_;
  std::string log_bytes_;
};

// A plan that runs /usr/bin/python3 -c `code` as uid 1000.
attach::v1::LaunchPlan python_plan(const std::string& code);

}  // namespace flodea::worker::testing
