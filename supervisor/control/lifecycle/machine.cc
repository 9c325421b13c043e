#include "supervisor/control/lifecycle/machine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/quantity.h"

namespace flodea::control {

const char* state_name(AgentState state) {
  switch (state) {
    case AgentState::kPending:
      return "pending";
    case AgentState::kPreparing:
      return "preparing";
    case AgentState::kStarting:
      return "starting";
    case AgentState::kRunning:
      return "running";
    case AgentState::kStopping:
      return "stopping";
    case AgentState::kStopped:
      return "stopped";
    case AgentState::kBackoff:
      return "backoff";
    case AgentState::kFailed:
      return "failed";
  }
  return "unknown";
}

const char* reason_name(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "";
    case Reason::kExitCode:
      return "exit code";
    case Reason::kSignal:
      return "signal";
    case Reason::kOom:
      return "oom";
    case Reason::kHealth:
      return "health";
    case Reason::kPolicy:
      return "policy";
    case Reason::kOperator:
      return "operator";
    case Reason::kQuota:
      return "quota";
    case Reason::kWorker:
      return "worker";
    case Reason::kHost:
      return "host";
    case Reason::kLost:
      return "lost";
    case Reason::kQuarantine:
      return "quarantine";
  }
  return "";
}

bool is_idle(AgentState state) {
  return state == AgentState::kPending || state == AgentState::kBackoff ||
         state == AgentState::kStopped || state == AgentState::kFailed;
}

Nanos backoff_delay(const Restart& restart, std::uint32_t in_a_row, double random) {
  double grown = static_cast<double>(restart.initial.count()) * std::exp2(std::min(in_a_row, 62u));
  double delay = std::min(grown, static_cast<double>(restart.max.count()));
  return Nanos(static_cast<std::int64_t>(delay * (0.9 + 0.2 * random)));
}

namespace {

const char* cause_name(StopCause cause) {
  switch (cause) {
    case StopCause::kShutdown:
      return "shutdown";
    case StopCause::kReplace:
      return "replace";
    case StopCause::kUnready:
    case StopCause::kUnhealthy:
      return "health";
    case StopCause::kHung:
      return "worker";
    case StopCause::kNone:
    case StopCause::kOperator:
      break;
  }
  return "operator";
}

class Stepper {
 public:
  Stepper(const Desired& desired, const Observed& seen, const Record& record, Nanos now,
          double random)
      : desired_(desired),
        seen_(seen),
        now_(now),
        random_(random),
        out_{.record = record, .actions = {}, .wake = {}},
        r_(out_.record) {}

  Step run() {
    switch (r_.state) {
      case AgentState::kPreparing:
        preparing();
        break;
      case AgentState::kStarting:
        starting();
        break;
      case AgentState::kRunning:
        running();
        break;
      case AgentState::kStopping:
        stopping();
        break;
      default:
        idle();
        break;
    }
    return std::move(out_);
  }

 private:
  void to(AgentState state, Reason reason, std::string message) {
    r_.state = state;
    r_.reason = reason;
    r_.message = std::move(message);
  }
  void act(Action::Kind kind, Nanos grace = {}) {
    out_.actions.push_back({.kind = kind, .grace = grace, .reason = cause_name(r_.stop_cause)});
  }
  void wake_at(Nanos time) { out_.wake = time; }

  // Why an instance should not run as it does, by what is desired now.
  StopCause unwanted() const {
    if (!desired_.running) return StopCause::kOperator;
    if (!desired_.host_open) return StopCause::kShutdown;
    return desired_.incarnation > r_.incarnation ? StopCause::kReplace : StopCause::kNone;
  }

  // ---- no instance should exist

  void idle() {
    if (seen_.presence == Presence::kEnded) act(Action::Kind::kRelease);
    if (seen_.presence == Presence::kPresent) act(Action::Kind::kKill);
    if (!desired_.running) return idle_unwanted();
    if (desired_.incarnation > r_.incarnation && r_.state != AgentState::kPending)
      return to(AgentState::kPending, Reason::kOperator, "");
    if (r_.state == AgentState::kPending) return pending();
    if (r_.state == AgentState::kBackoff) backoff();
  }

  void idle_unwanted() {
    if (r_.state == AgentState::kStopped || r_.state == AgentState::kFailed) return;
    to(AgentState::kStopping, Reason::kOperator, "");
    r_.stop_cause = StopCause::kOperator;
    r_.after = AgentState::kStopped;
  }

  void pending() {
    if (!desired_.host_open || seen_.presence != Presence::kAbsent || !desired_.may_start) return;
    if (desired_.incarnation > r_.incarnation) r_.in_a_row = r_.failures = r_.restarts = 0;
    launch(r_.reason, r_.message);
  }

  void backoff() {
    if (!desired_.host_open) return to(AgentState::kPending, r_.reason, r_.message);
    if (now_ < r_.due) return wake_at(r_.due);
    // Its release steps the machine again, and so does the room that it waits for.
    if (seen_.presence != Presence::kAbsent || !desired_.may_start) return;
    ++r_.restarts;
    launch(r_.reason, r_.message);
  }

  void launch(Reason reason, std::string message) {
    to(AgentState::kPreparing, reason, std::move(message));
    r_.incarnation = desired_.incarnation;
    ++r_.generation.value;
    r_.stop_cause = StopCause::kNone;
    r_.stop_told = false;
    r_.after.reset();
    act(Action::Kind::kStart);
  }

  // ---- an instance is on its way, or there

  // True when the instance is gone already and the step is done.
  bool gone() {
    if (seen_.presence == Presence::kEnded) return settle(seen_.ending), true;
    if (seen_.presence == Presence::kAbsent) {
      settle({.blame = Blame::kBlameless,
              .reason = Reason::kHost,
              .message = "the supervisor or the host was started again",
              .exit_code = {}});
      return true;
    }
    return false;
  }

  bool stopped_short() {
    StopCause cause = unwanted();
    if (cause == StopCause::kNone) return false;
    begin_stop(cause, Reason::kOperator,
               cause == StopCause::kShutdown ? "the supervisor is shut down" : "");
    return true;
  }

  void preparing() {
    if (gone() || stopped_short()) return;
    if (seen_.presence != Presence::kPresent) return;
    to(AgentState::kStarting, r_.reason, r_.message);
    r_.due = now_ + kExecTimeout;
    wake_at(r_.due);
  }

  void starting() {
    if (gone() || stopped_short()) return;
    if (!seen_.executed) {
      if (now_ < r_.due) return wake_at(r_.due);
      return begin_stop(StopCause::kHung, Reason::kWorker, hung_message());
    }
    if (hung()) return;
    if (desired_.startup_probe && !seen_.health.started) return;  // its failures are bounded
    if (is_ready()) return to(AgentState::kRunning, r_.reason, r_.message);
    Nanos until = std::max(*seen_.executed, seen_.health.started_at) + desired_.readiness.timeout;
    if (now_ < until) return wake_at(until);
    begin_stop(StopCause::kUnready, Reason::kHealth, unready_message());
  }

  void running() {
    if (gone() || stopped_short() || hung()) return;
    if (!desired_.proven) prove();
  }

  void prove() {
    Nanos at = seen_.executed.value_or(now_) + kProvenAfter;
    if (now_ < at) return wake_at(at);
    act(Action::Kind::kProven);
  }

  bool is_ready() const {
    if (desired_.readiness.probe) return seen_.health.ready;
    return !desired_.readiness.self || seen_.ready;
  }

  bool hung() {
    const Health& health = seen_.health;
    if (health.hung.empty()) return false;
    if (health.worker_hung)
      begin_stop(StopCause::kHung, Reason::kWorker, health.hung);
    else
      begin_stop(StopCause::kUnhealthy, Reason::kHealth, health.hung);
    return true;
  }

  void begin_stop(StopCause cause, Reason reason, std::string message) {
    to(AgentState::kStopping, reason, std::move(message));
    r_.stop_cause = cause;
    r_.stop_told = false;
    r_.after.reset();
    tell_stop();
  }

  // An agent that has not been executed has nothing to tidy up.
  void tell_stop() {
    if (seen_.presence == Presence::kRequested && !seen_.cancelled) act(Action::Kind::kCancel);
    if (r_.stop_told || seen_.presence != Presence::kPresent) return;
    r_.stop_told = true;
    bool graceful = seen_.executed.has_value() && desired_.stop_timeout > Nanos{};
    act(graceful ? Action::Kind::kStop : Action::Kind::kKill,
        graceful ? desired_.stop_timeout : Nanos{});
    r_.due = now_ + (graceful ? desired_.stop_timeout + kStopSlack : kKillAgain);
    wake_at(r_.due);
  }

  void stopping() {
    if (r_.after) return released();
    if (gone()) return;
    tell_stop();
    if (!r_.stop_told) return;
    if (now_ >= r_.due) {
      act(Action::Kind::kKill);
      r_.due = now_ + kKillAgain;
    }
    wake_at(r_.due);
  }

  void released() {
    if (seen_.presence == Presence::kEnded) act(Action::Kind::kRelease);
    if (seen_.presence == Presence::kPresent) kill_what_is_left();
    if (seen_.presence != Presence::kAbsent) return;
    AgentState next = *r_.after;
    // What an operator asked for meanwhile counts more than what was settled at the ending.
    if (next == AgentState::kPending && !desired_.running) next = AgentState::kStopped;
    r_.after.reset();
    r_.stop_cause = StopCause::kNone;
    to(next, r_.reason, r_.message);
  }

  // Its end was accounted for, and the next control finds it there, or its ending not yet heard.
  void kill_what_is_left() {
    if (!std::exchange(r_.stop_told, true) || now_ >= r_.due) {
      act(Action::Kind::kKill);
      r_.due = now_ + kKillAgain;
    }
    wake_at(r_.due);
  }

  // ---- accounting for an ending

  void settle(Ending ending) {
    r_.exit_code = ending.exit_code;
    StopCause now_unwanted = unwanted();
    StopCause cause = now_unwanted != StopCause::kNone ? now_unwanted : r_.stop_cause;
    // The message is still what its stop began with.
    if (cause == StopCause::kUnready || cause == StopCause::kUnhealthy)
      ending = {.blame = Blame::kFailure,
                .reason = Reason::kHealth,
                .message = r_.message,
                .exit_code = ending.exit_code};
    if (cause == StopCause::kHung)
      ending = {.blame = Blame::kFailure,
                .reason = Reason::kWorker,
                .message = r_.message,
                .exit_code = {}};
    switch (cause) {
      case StopCause::kOperator:
        finish(AgentState::kStopped, Reason::kOperator, "stopped: " + ending.message);
        break;
      case StopCause::kShutdown:
        finish(AgentState::kPending, Reason::kOperator, "the supervisor is shut down");
        break;
      case StopCause::kReplace:
        finish(AgentState::kPending, Reason::kOperator, "");
        break;
      default:
        by_policy(ending);
        break;
    }
    if (seen_.presence == Presence::kEnded) act(Action::Kind::kRelease);
  }

  // Through kStopping, so that a final state means that nothing is left.
  void finish(AgentState state, Reason reason, std::string message) {
    to(AgentState::kStopping, reason, std::move(message));
    r_.after = state;
  }

  // Its ending says that this revision does not run, and there is one that did.
  bool put_back(const Ending& ending) {
    bool failed = ending.blame == Blame::kFailure || ending.blame == Blame::kHopeless;
    if (!failed || !desired_.can_put_back) return false;
    act(Action::Kind::kPutBack);
    finish(AgentState::kPending, ending.reason,
           ending.message + "; the revision that ran before is put back");
    return true;
  }

  void by_policy(const Ending& ending) {
    if (put_back(ending)) return;
    if (seen_.executed && now_ - *seen_.executed >= desired_.restart.reset_after)
      r_.in_a_row = r_.failures = 0;
    switch (ending.blame) {
      case Blame::kBlameless:
        return back_off(ending, "");
      case Blame::kHopeless:
        return finish(AgentState::kFailed, ending.reason, ending.message);
      case Blame::kSuccess:
        if (!desired_.proven) act(Action::Kind::kProven);
        r_.failures = 0;
        if (desired_.restart.policy == RestartPolicy::kAlways) return back_off(ending, "");
        return finish(AgentState::kStopped, ending.reason, ending.message);
      case Blame::kFailure:
        return failure(ending);
    }
  }

  void failure(const Ending& ending) {
    const Restart& restart = desired_.restart;
    if (restart.policy == RestartPolicy::kNever)
      return finish(AgentState::kFailed, ending.reason, ending.message);
    if (r_.failures >= restart.max_retries && restart.max_retries != Restart::kNoEnd) {
      std::string limit = restart.max_retries == 0 ? "no restarts allowed"
                                                   : std::to_string(restart.max_retries) +
                                                         " restarts in a row did not help";
      return finish(AgentState::kFailed, ending.reason, ending.message + "; " + limit);
    }
    ++r_.failures;
    std::string of =
        restart.max_retries == Restart::kNoEnd ? "" : " of " + std::to_string(restart.max_retries);
    back_off(ending, "; restart " + std::to_string(r_.failures) + of);
  }

  void back_off(const Ending& ending, const std::string& count) {
    to(AgentState::kBackoff, ending.reason, ending.message + count);
    r_.stop_cause = StopCause::kNone;
    r_.due = now_ + backoff_delay(desired_.restart, r_.in_a_row, random_);
    // What vanished with the supervisor or the host says nothing about how the next start will go.
    if (seen_.presence != Presence::kAbsent && r_.in_a_row < Restart::kNoEnd) ++r_.in_a_row;
    wake_at(r_.due);
  }

  std::string unready_message() const {
    return "not ready within " + format_duration(desired_.readiness.timeout);
  }
  static std::string hung_message() {
    return "the worker did not start the agent within " + format_duration(kExecTimeout);
  }

  const Desired& desired_;
  const Observed& seen_;
  Nanos now_;
  double random_;
  Step out_;
  Record& r_;
};

}  // namespace

Step step(const Desired& desired, const Observed& observed, const Record& record, Nanos now,
          double random) {
  return Stepper(desired, observed, record, now, random).run();
}

}  // namespace flodea::control
