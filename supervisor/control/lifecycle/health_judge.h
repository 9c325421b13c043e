// What the runs of an instance's probes, its beats and its worker's heartbeat mean. Pure: the page,
// the time and what its group was given are passed in. A failure counts only if the instance had
// the means to do better: a probe or beat that was late while the group was throttled, starved or
// frozen for half of that time or more is not counted, at most kMaxExcused times in a row (but
// frozen as long as it may be). Failures are counted by this control; what an earlier one saw is
// taken over from the page, but never suffices alone to end an instance.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/mapped_status_page.h"
#include "base/token_bucket.h"
#include "supervisor/control/lifecycle/machine.h"

namespace flodea::control {

struct HealthReport {
  Health health;
  HealthView view;
  std::vector<std::string> events;  // "liveness probe: exit code 1", "readiness probe: ok again"
};

class HealthJudge {
 public:
  static constexpr std::uint32_t kMaxExcused = 10;
  static constexpr Nanos kWorkerLimit = std::chrono::seconds(10);  // without a heartbeat
  static constexpr Nanos kSuspicion = std::chrono::seconds(5);     // of which it was watched
  static constexpr Nanos kTick = std::chrono::seconds(5);          // between two looks

  // `executed`: monotonic. `adopted`: an earlier control has judged it up to here.
  HealthJudge(const AgentSpec& spec, Nanos executed, bool adopted);

  struct Now {
    Nanos monotonic{}, boot{};
  };
  // How the group was doing now. Wanted when a probe is slow and before each `see`, if it wants
  // one.
  void sample(const CgroupStrain& strain, Now now);
  bool wants_samples() const { return asks_ || suspicious_since_.has_value(); }
  void hear_output(ProbeKind kind,
                   std::string text);  // printed by the run that `see` tells of next
  void see(const HealthSnapshot& page, Now now);
  // A worker that cannot run probes: nothing is judged, and that is said.
  void cannot_judge();

  Nanos next_look(Now now) const;  // from `now`
  HealthReport report(Now now);    // takes the events
  bool asks() const { return asks_; }

 private:
  struct Probe {
    std::optional<ExecProbe> plan;
    std::uint64_t runs = 0;  // seen
    std::uint32_t failures = 0, excused = 0;
    bool succeeded = false;
    std::string output;
  };
  struct Sample {
    Nanos at{};
    CgroupStrain strain;
  };
  enum class Means { kEnough, kStarved, kFrozen };

  Means means_since(Nanos begin) const;
  Means means_of(const ExecProbe& plan, const SeenProbe& seen) const;
  void take_over(ProbeKind kind, const SeenProbe& seen);
  void judge(ProbeKind kind, const SeenProbe& seen);
  void failed(ProbeKind kind, const SeenProbe& seen, std::uint32_t new_failures);
  void judge_beat(Nanos agent_beat, Nanos now);
  void judge_worker(Nanos heartbeat, Now now);
  void end(std::string why);
  std::string text_of(const Probe& probe) const;
  std::string beat_text() const;
  Probe& of(ProbeKind kind) { return probes_[static_cast<std::size_t>(kind)]; }
  const Probe& of(ProbeKind kind) const { return probes_[static_cast<std::size_t>(kind)]; }

  std::array<Probe, kProbeKinds> probes_;
  Nanos beat_{};
  Nanos beat_from_{};  // monotonic: the window of the next beat begins
  Nanos last_beat_{};
  std::uint32_t beat_excused_ = 0;
  std::optional<Nanos> suspicious_since_;  // monotonic: the worker is late
  std::uint32_t worker_excused_ = 0;
  bool asks_ = false;
  bool take_over_ = false;
  bool judged_ = true;
  std::deque<Sample> samples_;  // oldest first
  Health health_;
  std::string last_failure_;
  std::vector<std::string> events_;
  TokenBucket event_rate_{0.1, 10};
};

}  // namespace flodea::control
