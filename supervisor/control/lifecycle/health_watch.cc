#include "supervisor/control/lifecycle/health_watch.h"

#include <utility>

namespace flodea::control {

void HealthWatch::begin(const AgentSpec& spec, Nanos executed, bool adopted) {
  if (judge_) return;
  judge_.emplace(spec, executed, adopted);
  auto page = sources_.page();
  if (judge_->asks() && page && !page->judged) {
    judge_->cannot_judge();
    sources_.cannot_judge(
        "its health is not judged: its worker is of an older version; `flodea restart` gives it a "
        "newer one");
  }
  look();
}

void HealthWatch::end() {
  if (timer_ != 0) sources_.loop.cancel(std::exchange(timer_, 0));
  judge_.reset();
  last_.reset();
}

void HealthWatch::on_result(ProbeKind kind, std::string output) {
  if (!judge_) return;
  judge_->hear_output(kind, std::move(output));
  look();
}

void HealthWatch::on_slow(ProbeKind /*kind*/) {
  if (judge_) sample();
}

void HealthWatch::sample() {
  if (auto strain = sources_.strain()) judge_->sample(*strain, now());
}

void HealthWatch::look() {
  if (timer_ != 0) sources_.loop.cancel(std::exchange(timer_, 0));
  bool wanted = judge_->wants_samples();
  if (wanted) sample();
  if (auto page = sources_.page()) judge_->see(*page, now());
  if (!wanted && judge_->wants_samples()) sample();  // what it has become wary of begins here
  timer_ = sources_.loop.call_after(judge_->next_look(now()), [this] {
    timer_ = 0;
    look();
  });
  tell();
}

// Last in a turn: what hears it may end this watch.
void HealthWatch::tell() {
  HealthReport report = judge_->report(now());
  bool same = last_ && last_->health == report.health && last_->view == report.view &&
              report.events.empty();
  last_ = report;
  if (!same) sources_.report(report);
}

}  // namespace flodea::control
