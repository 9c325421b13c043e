// The status page (base/status_page.h) as each side maps it: the worker writes, control and flodead
// read. Sealed memory (base/sealed_memory.h): a reader checks the seals before it maps. Never
// inherited by the agent.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <boost/interprocess/mapped_region.hpp>

#include "base/clock.h"
#include "base/status_page.h"
#include "base/unique_fd.h"

namespace flodea {

// A fresh page, all zero.
Result<UniqueFd> make_status_page();

// The worker's view. One thread writes; every member is one atomic store or add.
class StatusPageWriter {
 public:
  static Result<StatusPageWriter> map(int fd);  // marks the page with magic and version

  void set_phase(WorkerPhase phase);
  void set_ready();
  void beat(Nanos boot);
  void set_started(Nanos boot);
  void set_log_seq(std::uint64_t seq);
  void add_log_dropped(std::uint64_t lines);
  void add_call();
  void add_protocol_error();
  void set_stop_requested(Nanos wall);  // the first one counts
  void add_denied(
      std::uint32_t syscall_number);  // beyond kDeniedSlots different calls only the total rises
  void set_landlock_abi(std::uint32_t abi);
  void set_agent_beat(Nanos monotonic);
  struct ProbeRun {
    ProbeOutcome outcome = ProbeOutcome::kNone;
    std::uint32_t value = 0;
    Nanos begin{}, end{};  // CLOCK_MONOTONIC
  };
  std::uint32_t record_probe(ProbeKind kind, const ProbeRun& run);  // returns failures in a row
  // The exit record; the first one counts.
  void record_exit(ExitKind kind, std::uint32_t value, Nanos wall);

 private:
  explicit StatusPageWriter(boost::interprocess::mapped_region region)
      : region_(std::move(region)) {}
  StatusPage& page() const { return *static_cast<StatusPage*>(region_.get_address()); }
  boost::interprocess::mapped_region region_;
};

struct DeniedCalls {
  std::uint32_t syscall_number;
  std::uint32_t count;
};

struct SeenProbe {
  std::uint64_t runs = 0;
  std::uint32_t failures = 0;  // in a row
  bool succeeded = false;      // at least once
  ProbeOutcome outcome = ProbeOutcome::kNone;
  std::uint32_t value = 0;
  Nanos begin{}, end{};  // CLOCK_MONOTONIC
};

// What of a page is read often.
struct HealthSnapshot {
  bool judged = false;  // the worker can: an older one cannot
  Nanos heartbeat{};    // CLOCK_BOOTTIME; 0: none yet
  Nanos agent_beat{};   // CLOCK_MONOTONIC; 0: none yet
  std::array<SeenProbe, kProbeKinds> probes;
};

// What a reader saw, every value in range: an unknown kind or phase is an error, never passed on.
struct StatusSnapshot {
  WorkerPhase phase = WorkerPhase::kBooting;
  bool ready = false;
  Nanos heartbeat{};       // CLOCK_BOOTTIME; 0: none yet
  Nanos started{};         // CLOCK_BOOTTIME; 0: not started
  Nanos stop_requested{};  // CLOCK_REALTIME; 0: none
  std::uint64_t log_seq = 0;
  std::uint64_t log_dropped = 0;
  std::uint64_t calls = 0;
  std::uint64_t protocol_errors = 0;
  std::uint64_t denied_total = 0;
  ExitKind exit_kind = ExitKind::kNone;
  std::uint32_t exit_value = 0;  // meaningless while exit_kind is kNone
  Nanos exit_time{};             // CLOCK_REALTIME
  std::vector<DeniedCalls> denied;
  std::uint32_t landlock_abi = 0;  // 0: none
};

// A read-only view of a page that a hostile worker may write at any moment.
class StatusPageReader {
 public:
  // kPermissionDenied: not a memfd with the seals; kInvalidArgument: another size.
  static Result<StatusPageReader> map(int fd);
  // // A page that no worker has mapped yet reads as booting. kDataLoss: the worker wrote what no
  // worker writes (magic, version, phase or exit kind).
  Result<StatusSnapshot> read() const;
  Result<HealthSnapshot> read_health() const;  // the same

 private:
  explicit StatusPageReader(boost::interprocess::mapped_region region)
      : region_(std::move(region)) {}
  const StatusPage& page() const { return *static_cast<const StatusPage*>(region_.get_address()); }
  boost::interprocess::mapped_region region_;
};

}  // namespace flodea
