#include "base/mapped_status_page.h"

#include "base/sealed_memory.h"

namespace flodea {
namespace {

namespace ipc = boost::interprocess;

constexpr const char* kPageName = "flodea-status";
constexpr std::uint64_t kMaxNanos = INT64_MAX;

Nanos nanos(const std::atomic<std::uint64_t>& value) {
  auto raw = value.load(std::memory_order_relaxed);
  return Nanos(static_cast<std::int64_t>(raw > kMaxNanos ? kMaxNanos : raw));
}

constexpr std::uint64_t slot_of(std::uint32_t number, std::uint32_t count) {
  return (std::uint64_t{number} + 1) << 32 | count;
}

}  // namespace

Result<UniqueFd> make_status_page() { return make_sealed_memory(kPageName, StatusPage::kSize); }

Result<StatusPageWriter> StatusPageWriter::map(int fd) {
  StatusPageWriter writer(
      TRY(map_sealed_memory(fd, kPageName, StatusPage::kSize, ipc::read_write)));
  writer.page().judges_health.store(1);
  writer.page().version.store(StatusPage::kVersion);
  writer.page().magic.store(StatusPage::kMagic);
  return writer;
}

void StatusPageWriter::set_phase(WorkerPhase phase) {
  page().phase.store(static_cast<std::uint32_t>(phase), std::memory_order_release);
}
void StatusPageWriter::set_ready() { page().ready.store(1, std::memory_order_release); }
void StatusPageWriter::beat(Nanos boot) {
  page().heartbeat_ns.store(static_cast<std::uint64_t>(boot.count()), std::memory_order_relaxed);
}
void StatusPageWriter::set_started(Nanos boot) {
  page().started_ns.store(static_cast<std::uint64_t>(boot.count()), std::memory_order_release);
}
void StatusPageWriter::set_log_seq(std::uint64_t seq) {
  page().log_seq.store(seq, std::memory_order_release);
}
void StatusPageWriter::add_log_dropped(std::uint64_t lines) {
  page().log_dropped.fetch_add(lines, std::memory_order_relaxed);
}
void StatusPageWriter::add_call() { page().calls.fetch_add(1, std::memory_order_relaxed); }
void StatusPageWriter::add_protocol_error() {
  page().protocol_errors.fetch_add(1, std::memory_order_relaxed);
}

void StatusPageWriter::set_stop_requested(Nanos wall) {
  std::uint64_t none = 0;
  page().stop_requested_ns.compare_exchange_strong(none, static_cast<std::uint64_t>(wall.count()));
}

void StatusPageWriter::add_denied(std::uint32_t syscall_number) {
  page().denied_total.fetch_add(1, std::memory_order_relaxed);
  for (auto& slot : page().denied) {
    auto value = slot.load(std::memory_order_relaxed);
    if (value != 0 && value >> 32 != std::uint64_t{syscall_number} + 1) continue;
    auto count = static_cast<std::uint32_t>(value);
    slot.store(slot_of(syscall_number, count == UINT32_MAX ? count : count + 1),
               std::memory_order_relaxed);
    return;
  }
}

void StatusPageWriter::set_landlock_abi(std::uint32_t abi) {
  page().landlock_abi.store(abi, std::memory_order_relaxed);
}

void StatusPageWriter::set_agent_beat(Nanos monotonic) {
  page().agent_beat_ns.store(static_cast<std::uint64_t>(monotonic.count()),
                             std::memory_order_relaxed);
}

std::uint32_t StatusPageWriter::record_probe(ProbeKind kind, const ProbeRun& run) {
  ProbeRecord& record = page().probes[static_cast<std::uint32_t>(kind)];
  bool good = run.outcome == ProbeOutcome::kSucceeded;
  std::uint32_t failures = good ? 0 : record.failures.load(std::memory_order_relaxed) + 1;
  record.failures.store(failures, std::memory_order_relaxed);
  if (good) record.succeeded.store(1, std::memory_order_relaxed);
  record.outcome.store(static_cast<std::uint32_t>(run.outcome), std::memory_order_relaxed);
  record.value.store(run.value, std::memory_order_relaxed);
  record.begin_ns.store(static_cast<std::uint64_t>(run.begin.count()), std::memory_order_relaxed);
  record.end_ns.store(static_cast<std::uint64_t>(run.end.count()), std::memory_order_relaxed);
  record.runs.fetch_add(1, std::memory_order_release);
  return failures;
}

void StatusPageWriter::record_exit(ExitKind kind, std::uint32_t value, Nanos wall) {
  if (page().exit_kind.load(std::memory_order_relaxed) != 0) return;
  page().exit_value.store(value, std::memory_order_relaxed);
  page().exit_ns.store(static_cast<std::uint64_t>(wall.count()), std::memory_order_relaxed);
  page().exit_kind.store(static_cast<std::uint32_t>(kind), std::memory_order_release);
}

Result<StatusPageReader> StatusPageReader::map(int fd) {
  return StatusPageReader(TRY(map_sealed_memory(fd, kPageName, StatusPage::kSize, ipc::read_only)));
}

// Torn when the next run ends just now: what it says then is of two runs of a probe, and the next
// reading mends it.
Result<HealthSnapshot> StatusPageReader::read_health() const {
  const StatusPage& p = page();
  if (p.magic.load() == 0) return HealthSnapshot{};
  if (p.magic.load() != StatusPage::kMagic || p.version.load() != StatusPage::kVersion)
    return fail(Code::kDataLoss, "the status page is of another version, or overwritten");
  HealthSnapshot out{.judged = p.judges_health.load() == 1,
                     .heartbeat = nanos(p.heartbeat_ns),
                     .agent_beat = nanos(p.agent_beat_ns),
                     .probes = {}};
  for (std::uint32_t i = 0; i < kProbeKinds; ++i) {
    const ProbeRecord& record = p.probes[i];
    SeenProbe& seen = out.probes[i];
    seen.runs = record.runs.load(std::memory_order_acquire);
    auto outcome = record.outcome.load(std::memory_order_relaxed);
    if (outcome > static_cast<std::uint32_t>(ProbeOutcome::kNoAnswer))
      return fail(Code::kDataLoss, "the status page holds an unknown outcome of a probe");
    seen.outcome = static_cast<ProbeOutcome>(outcome);
    seen.failures = record.failures.load(std::memory_order_relaxed);
    seen.succeeded = record.succeeded.load(std::memory_order_relaxed) != 0;
    seen.value = record.value.load(std::memory_order_relaxed);
    seen.begin = nanos(record.begin_ns);
    seen.end = nanos(record.end_ns);
  }
  return out;
}

Result<StatusSnapshot> StatusPageReader::read() const {
  const StatusPage& p = page();
  auto phase = p.phase.load(std::memory_order_acquire);
  auto kind =
      p.exit_kind.load(std::memory_order_acquire);   // before value and time: see record_exit
  if (p.magic.load() == 0) return StatusSnapshot{};  // the worker has not begun
  if (p.magic.load() != StatusPage::kMagic || p.version.load() != StatusPage::kVersion) {
    return fail(Code::kDataLoss, "the status page is of another version, or overwritten");
  }
  if (phase > static_cast<std::uint32_t>(WorkerPhase::kExited) ||
      kind > static_cast<std::uint32_t>(ExitKind::kExecFailed)) {
    return fail(Code::kDataLoss, "the status page holds an unknown phase or exit kind");
  }
  StatusSnapshot out{.phase = static_cast<WorkerPhase>(phase),
                     .ready = p.ready.load(std::memory_order_acquire) != 0,
                     .heartbeat = nanos(p.heartbeat_ns),
                     .started = nanos(p.started_ns),
                     .stop_requested = nanos(p.stop_requested_ns),
                     .log_seq = p.log_seq.load(std::memory_order_acquire),
                     .log_dropped = p.log_dropped.load(std::memory_order_relaxed),
                     .calls = p.calls.load(std::memory_order_relaxed),
                     .protocol_errors = p.protocol_errors.load(std::memory_order_relaxed),
                     .denied_total = p.denied_total.load(std::memory_order_relaxed),
                     .exit_kind = static_cast<ExitKind>(kind),
                     .exit_value = p.exit_value.load(std::memory_order_relaxed),
                     .exit_time = nanos(p.exit_ns),
                     .denied = {},
                     .landlock_abi = p.landlock_abi.load(std::memory_order_relaxed)};
  for (const auto& slot : p.denied) {
    auto value = slot.load(std::memory_order_relaxed);
    if (value >> 32 == 0) continue;
    out.denied.push_back({.syscall_number = static_cast<std::uint32_t>((value >> 32) - 1),
                          .count = static_cast<std::uint32_t>(value)});
  }
  return out;
}

}  // namespace flodea
