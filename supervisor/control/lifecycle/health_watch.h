// Looks after the health of one instance: reads its status page when its worker has news and every
// few seconds, samples its cgroup when that is wanted, and tells what changed. What it means is in
// health_judge.h. Owner: the instance. Core thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "supervisor/control/lifecycle/health_judge.h"

namespace flodea::control {

struct HealthSources {
  EventLoop& loop;
  const Clock& clock;
  std::function<std::optional<HealthSnapshot>()> page;
  std::function<std::optional<CgroupStrain>()> strain;
  std::function<void(const HealthReport&)> report;           // something changed
  std::function<void(const std::string& why)> cannot_judge;  // its worker is too old for it
};

class HealthWatch {
 public:
  explicit HealthWatch(HealthSources sources) : sources_(std::move(sources)) {}
  ~HealthWatch() { end(); }
  HealthWatch(const HealthWatch&) = delete;

  // The agent was executed, at this monotonic time; once.
  void begin(const AgentSpec& spec, Nanos executed, bool adopted);
  void end();
  void on_result(ProbeKind kind, std::string output);
  void on_slow(ProbeKind kind);
  // What is known now, of one that was adopted.
  std::optional<HealthReport> known() const { return last_; }

 private:
  void look();
  void sample();
  void tell();
  HealthJudge::Now now() const { return {sources_.clock.monotonic(), sources_.clock.boot()}; }

  HealthSources sources_;
  std::optional<HealthJudge> judge_;
  std::optional<HealthReport> last_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace flodea::control
