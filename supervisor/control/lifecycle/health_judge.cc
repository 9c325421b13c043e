#include "supervisor/control/lifecycle/health_judge.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/quantity.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxSamples = 64;
constexpr ProbeKind kKinds[] = {ProbeKind::kStartup, ProbeKind::kReadiness, ProbeKind::kLiveness};
constexpr Nanos kLate = std::chrono::milliseconds(2500);  // of a heartbeat a second

const char* name_of(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup:
      return "start-up probe";
    case ProbeKind::kReadiness:
      return "readiness probe";
    case ProbeKind::kLiveness:
      return "liveness probe";
  }
  return "probe";
}

std::string signal_text(std::uint32_t number) {
  const char* name = ::sigabbrev_np(static_cast<int>(number));
  return name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(number);
}

std::string what_failed(const SeenProbe& seen, const ExecProbe& plan) {
  switch (seen.outcome) {
    case ProbeOutcome::kExited:
      return "exit code " + std::to_string(seen.value);
    case ProbeOutcome::kSignaled:
      return "killed by " + signal_text(seen.value);
    case ProbeOutcome::kTimedOut:
      return "no end within " + format_duration(plan.timeout);
    case ProbeOutcome::kNotRun: {
      const char* why = ::strerrordesc_np(static_cast<int>(seen.value));
      return "it cannot be run: " + std::string(why != nullptr ? why : "unknown error") +
             "; raise resources.pids or open_files";
    }
    case ProbeOutcome::kNoProber:
      return "what runs its probes was killed";
    case ProbeOutcome::kNoAnswer:
      return "what runs its probes does not answer";
    case ProbeOutcome::kNone:
    case ProbeOutcome::kSucceeded:
      break;
  }
  return "unknown";
}

bool may_be_starved(ProbeOutcome outcome) {
  return outcome == ProbeOutcome::kTimedOut || outcome == ProbeOutcome::kNoAnswer;
}

// A look that was late finds more than the limit.
std::string count_text(std::uint32_t failures, std::uint32_t limit) {
  return std::to_string(std::min(failures, limit)) + " of " + std::to_string(limit);
}

}  // namespace

HealthJudge::HealthJudge(const AgentSpec& spec, Nanos executed, bool adopted)
    : beat_(spec.liveness.beat), beat_from_(executed), take_over_(adopted) {
  of(ProbeKind::kStartup).plan = spec.startup;
  of(ProbeKind::kReadiness).plan = spec.readiness.probe;
  of(ProbeKind::kLiveness).plan = spec.liveness.probe;
  asks_ = beat_ != Nanos{} ||
          std::ranges::any_of(probes_, [](const Probe& probe) { return probe.plan.has_value(); });
}

void HealthJudge::cannot_judge() {
  judged_ = asks_ = false;
  health_.started = health_.ready = true;
}

// ---- what it was given

void HealthJudge::sample(const CgroupStrain& strain, Now now) {
  samples_.push_back({now.monotonic, strain});
  if (samples_.size() > kMaxSamples) samples_.pop_front();
}

// From the last sample at `begin` or before (else the first there is) to the newest.
HealthJudge::Means HealthJudge::means_since(Nanos begin) const {
  if (samples_.empty()) return Means::kEnough;
  const Sample& last = samples_.back();
  const Sample* first = &samples_.front();
  for (const Sample& sample : samples_)
    if (sample.at <= begin) first = &sample;
  if (last.strain.frozen || first->strain.frozen) return Means::kFrozen;
  auto half = static_cast<std::uint64_t>((last.at - first->at).count()) / 2;
  auto much = [half](std::uint64_t before, std::uint64_t after) {
    return half > 0 && after > before && after - before >= half;
  };
  if (much(first->strain.frozen_nanos, last.strain.frozen_nanos)) return Means::kFrozen;
  bool starved = much(first->strain.throttled_nanos, last.strain.throttled_nanos) ||
                 much(first->strain.starved_nanos, last.strain.starved_nanos);
  return starved ? Means::kStarved : Means::kEnough;
}

// A worker that looked at the clock much too late stood still itself, and its prober too.
HealthJudge::Means HealthJudge::means_of(const ExecProbe& plan, const SeenProbe& seen) const {
  constexpr Nanos kSlack = std::chrono::seconds(1);  // of the worker, for an answer
  if (!may_be_starved(seen.outcome)) return Means::kEnough;
  Nanos due = plan.timeout + (seen.outcome == ProbeOutcome::kNoAnswer ? kSlack : Nanos{});
  if (seen.end - seen.begin >= due + plan.timeout / 2 + kSlack / 10) return Means::kStarved;
  return means_since(seen.begin + plan.timeout / 2);
}

// ---- probes

void HealthJudge::hear_output(ProbeKind kind, std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);  // its last newline was one
  of(kind).output = std::move(text);
}

void HealthJudge::see(const HealthSnapshot& page, Now now) {
  if (judged_) {
    bool first = std::exchange(take_over_, false);
    if (first) beat_from_ = now.monotonic;
    for (ProbeKind kind : kKinds) {
      const SeenProbe& seen = page.probes[static_cast<std::size_t>(kind)];
      if (!of(kind).plan) continue;
      first ? take_over(kind, seen) : judge(kind, seen);
    }
    if (beat_ != Nanos{}) judge_beat(page.agent_beat, now.monotonic);
  }
  judge_worker(page.heartbeat, now);
}

void HealthJudge::take_over(ProbeKind kind, const SeenProbe& seen) {
  Probe& probe = of(kind);
  bool ends = kind != ProbeKind::kReadiness;
  probe.runs = seen.runs;
  probe.succeeded = seen.succeeded;
  probe.failures = std::min(seen.failures, probe.plan->failures - (ends ? 1 : 0));
  if (seen.failures > 0) last_failure_ = name_of(kind) + (": " + what_failed(seen, *probe.plan));
  if (kind == ProbeKind::kReadiness)
    health_.ready = probe.succeeded && probe.failures < probe.plan->failures;
  if (kind == ProbeKind::kStartup && probe.succeeded) {
    health_.started = true;
    health_.started_at = seen.end;
  }
}

void HealthJudge::judge(ProbeKind kind, const SeenProbe& seen) {
  Probe& probe = of(kind);
  std::uint64_t runs = std::exchange(probe.runs, seen.runs);
  if (runs == seen.runs) return;
  if (seen.outcome != ProbeOutcome::kSucceeded) {
    std::uint64_t missed = seen.runs > runs ? seen.runs - runs : 1;
    if (seen.failures < missed) probe.failures = 0;  // between them one was good
    failed(kind, seen, static_cast<std::uint32_t>(std::min<std::uint64_t>(missed, seen.failures)));
  } else {
    if (probe.failures + probe.excused > 0)
      events_.push_back(name_of(kind) + std::string(": ok again"));
    probe.failures = probe.excused = 0;
    probe.succeeded = true;
    if (kind == ProbeKind::kStartup && !std::exchange(health_.started, true)) {
      health_.started_at = seen.end;
      beat_from_ = std::max(beat_from_, seen.end);
    }
  }
  probe.output.clear();
  if (kind == ProbeKind::kReadiness)
    health_.ready = probe.succeeded && probe.failures < probe.plan->failures;
}

void HealthJudge::failed(ProbeKind kind, const SeenProbe& seen, std::uint32_t new_failures) {
  Probe& probe = of(kind);
  const ExecProbe& plan = *probe.plan;
  bool first = probe.failures + probe.excused == 0;
  std::string why = name_of(kind) + (": " + what_failed(seen, plan));
  if (!probe.output.empty()) why += ": " + probe.output;
  Means means = means_of(plan, seen);
  bool excused =
      means == Means::kFrozen || (means == Means::kStarved && probe.excused < kMaxExcused);
  if (means == Means::kStarved) why += "; the agent was starved of CPU";
  if (means == Means::kFrozen) why += "; the agent was frozen";
  if (excused) why += ": not counted";
  if (means == Means::kStarved) probe.excused = std::min(probe.excused + 1, kMaxExcused);
  if (means == Means::kEnough) probe.excused = 0;
  if (!excused) probe.failures += std::max(new_failures, 1u);
  last_failure_ = why;
  if (first) events_.push_back(why);
  if (probe.failures >= plan.failures && kind != ProbeKind::kReadiness)
    end(why + " (" + count_text(probe.failures, plan.failures) + ")");
}

// ---- beats

void HealthJudge::judge_beat(Nanos agent_beat, Nanos now) {
  if (of(ProbeKind::kStartup).plan && !health_.started) return;
  if (agent_beat != last_beat_) {
    last_beat_ = agent_beat;
    beat_from_ = std::clamp(agent_beat, beat_from_, std::max(beat_from_, now));
    if (std::exchange(beat_excused_, 0) > 0) events_.push_back("beat: ok again");
  }
  if (now - beat_from_ < beat_) return;
  std::string why = "no beat for " + format_duration(beat_);
  Means means = means_since(beat_from_ + beat_ / 4);
  if (means == Means::kEnough) return end(why);
  beat_from_ = now;
  if (means == Means::kFrozen) return;
  last_failure_ = why + "; the agent was starved of CPU";
  if (++beat_excused_ > kMaxExcused) return end(last_failure_);
  last_failure_ += ": not counted";
  if (beat_excused_ == 1) events_.push_back(last_failure_);
}

// ---- its worker

// Watched for a while before it is judged: a host that slept wakes with old heartbeats.
void HealthJudge::judge_worker(Nanos heartbeat, Now now) {
  if (heartbeat == Nanos{} || now.boot - heartbeat < kLate) {
    suspicious_since_.reset();
    worker_excused_ = 0;
    return;
  }
  if (!suspicious_since_) suspicious_since_ = now.monotonic;
  if (now.boot - heartbeat < kWorkerLimit || now.monotonic - *suspicious_since_ < kSuspicion)
    return;
  Means means = means_since(*suspicious_since_);
  if (means == Means::kFrozen) return void(suspicious_since_ = now.monotonic);
  if (means == Means::kStarved && ++worker_excused_ <= kMaxExcused)
    return void(suspicious_since_ = now.monotonic);
  if (!health_.hung.empty()) return;
  health_.worker_hung = true;
  end("its worker has not beaten for " +
      format_duration(std::chrono::floor<std::chrono::seconds>(now.boot - heartbeat)));
}

// ---- what comes of it

void HealthJudge::end(std::string why) {
  last_failure_ = why;
  if (health_.hung.empty()) health_.hung = std::move(why);
}

std::string HealthJudge::text_of(const Probe& probe) const {
  if (!probe.plan) return "";
  if (!judged_) return "unknown";
  if (probe.failures > 0)
    return "failing (" + count_text(probe.failures, probe.plan->failures) + ")";
  return probe.succeeded ? "ok" : "unknown";
}

std::string HealthJudge::beat_text() const {
  if (!health_.hung.empty() && !health_.worker_hung) return "failing (1 of 1)";
  return judged_ && last_beat_ != Nanos{} ? "ok" : "unknown";
}

Nanos HealthJudge::next_look(Now now) const {
  if (beat_ == Nanos{} || !judged_) return kTick;
  Nanos latest = std::min(beat_ / 4, kTick);
  return std::clamp(beat_from_ + beat_ - now.monotonic, std::min(beat_ / 16, latest), latest);
}

HealthReport HealthJudge::report(Now now) {
  HealthReport report{.health = health_, .view = {}, .events = {}};
  report.view = {.startup = text_of(of(ProbeKind::kStartup)),
                 .readiness = text_of(of(ProbeKind::kReadiness)),
                 .liveness = beat_ != Nanos{} ? beat_text() : text_of(of(ProbeKind::kLiveness)),
                 .message = last_failure_};
  for (std::string& event : std::exchange(events_, {}))
    if (event_rate_.take(now.monotonic)) report.events.push_back(std::move(event));
  return report;
}

}  // namespace flodea::control
