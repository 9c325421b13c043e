// Random worlds for the state machine: agents that crash, replies that come late or twice,
// operators who change their minds, a control that dies between storing and acting, a host that
// starts again. The world counts live instances; it must never count two.
#include <deque>
#include <random>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/lifecycle/machine.h"

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;

namespace {

// What flodead holds: at most one instance, by generation.
struct World {
  enum class Life { kNone, kRunning, kEnded };
  Life life = Life::kNone;
  Generation generation;
  bool two_instances = false;

  bool start(Generation wanted) {
    if (life != Life::kNone && generation != wanted) return two_instances = true, false;
    if (life == Life::kNone) life = Life::kRunning, generation = wanted;
    return true;
  }
  void end() {
    if (life == Life::kRunning) life = Life::kEnded;
  }
  void release(Generation wanted) {
    if (life == Life::kEnded && generation == wanted) life = Life::kNone;
  }
};

struct Message {
  enum class Kind { kStarted, kStartFailed, kExecuted, kEnded, kReleased };
  Kind kind;
  Generation generation;
};

class Simulation {
 public:
  explicit Simulation(unsigned seed) : random_(seed) {
    desired_.stop_timeout = 1s;
    desired_.restart = {.policy = static_cast<RestartPolicy>(pick(3)),
                        .max_retries = pick(2) != 0 ? Restart::kNoEnd : 3u};
    desired_.readiness.self = pick(4) == 0;
    desired_.startup_probe = pick(4) == 0;
    if (!desired_.readiness.self && pick(4) == 0) desired_.readiness.probe.emplace();
  }

  void disturb() {
    switch (pick(15)) {
      case 14:
        judge();
        break;
      case 0:
        want(true);
        break;
      case 1:
        want(false);
        break;
      case 2:
        ++desired_.incarnation;
        break;
      case 3:
        end_instance();
        break;
      case 4:
        restart_control();
        break;
      case 5:
        restart_host();
        break;
      case 6:
        now_ += std::chrono::milliseconds(pick(40'000));
        break;
      case 7:
        if (!inbox_.empty()) inbox_.push_back(inbox_.front());
        break;  // a reply that comes twice
      case 8:
        desired_.may_start = !desired_.may_start;
        break;
      case 9:  // another revision: it has not run yet, the one before may have
        ++desired_.incarnation;
        desired_.proven = false;
        desired_.can_put_back = pick(2) == 0;
        break;
      default:
        deliver();
        break;
    }
    settle();
  }

  // Lets everything that is under way arrive, then asks: is it as desired?
  bool converges() {
    calm_ = true;
    desired_.may_start = true;
    for (int i = 0; i < 400; ++i) {
      now_ += 1s;
      deliver();
      judge();
      settle();
    }
    bool nothing_left =
        world_.life == World::Life::kNone && observed_.presence == Presence::kAbsent;
    bool over = (record_.state == AgentState::kStopped || record_.state == AgentState::kFailed) &&
                nothing_left;
    if (!desired_.running) return over;
    bool up = record_.state == AgentState::kRunning && world_.life == World::Life::kRunning;
    return up || (over && record_.incarnation == desired_.incarnation);
  }
  bool two_instances() const { return world_.two_instances; }
  std::string describe() const {
    return std::string(state_name(record_.state)) + " " + record_.message;
  }

 private:
  unsigned pick(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

  void want(bool running) {
    if (running && !desired_.running) ++desired_.incarnation;
    desired_.running = running;
  }

  void end_instance() {
    if (world_.life != World::Life::kRunning) return;
    world_.end();
    inbox_.push_back({Message::Kind::kEnded, world_.generation});
  }

  // Its probes say something, for better or worse.
  void judge() {
    if (observed_.presence != Presence::kPresent || !observed_.executed) return;
    Health& health = observed_.health;
    bool starts = !health.started && (calm_ || pick(2) == 0);
    if (starts) health.started = true, health.started_at = now_;
    health.ready = health.started && (calm_ || pick(2) == 0);
    if (calm_ || !health.hung.empty() || pick(4) != 0) return;
    health.hung = "no beat";
    health.worker_hung = pick(2) == 0;
  }

  // Control dies: what it saw is forgotten, what it stored is not; it adopts what flodead lists.
  void restart_control() {
    inbox_.clear();
    observed_ = {};
    record_.stop_told = false;
    if (world_.life == World::Life::kNone) return;
    observed_.presence =
        world_.life == World::Life::kRunning ? Presence::kPresent : Presence::kEnded;
    observed_.ending = {
        .blame = Blame::kFailure, .reason = Reason::kLost, .message = "ended", .exit_code = {}};
    if (observed_.presence == Presence::kPresent)
      inbox_.push_back({Message::Kind::kExecuted, world_.generation});
  }
  void restart_host() {
    world_.life = World::Life::kNone;
    restart_control();
  }

  void settle() {
    for (int i = 0; i < 50; ++i) {
      Step next = step(desired_, observed_, record_, now_, 0.5);
      bool same = next.record == record_ && next.actions.empty();
      record_ = next.record;
      if (!calm_ && !next.actions.empty() && pick(60) == 0)
        return restart_control();  // dies between storing and acting
      for (const Action& action : next.actions) perform(action);
      if (same) return;
    }
    FAIL("the machine does not come to rest: " << describe());
  }

  void perform(const Action& action) {
    switch (action.kind) {
      case Action::Kind::kStart:
        observed_ = {.presence = Presence::kRequested};
        if (!calm_ && pick(6) == 0)
          return inbox_.push_back({Message::Kind::kStartFailed, record_.generation});
        if (world_.start(record_.generation))
          inbox_.push_back({Message::Kind::kStarted, record_.generation});
        break;
      case Action::Kind::kProven:
        desired_.proven = true;
        desired_.can_put_back = false;
        break;
      case Action::Kind::kPutBack:
        if (!desired_.can_put_back) FAIL("there is nothing to put back");
        ++desired_.incarnation;
        desired_.proven = true;
        desired_.can_put_back = false;
        break;
      case Action::Kind::kCancel:  // heard, or too late
        observed_.cancelled = true;
        if (pick(2) == 0) end_instance();
        break;
      case Action::Kind::kStop:
      case Action::Kind::kKill:
        end_instance();
        break;
      case Action::Kind::kRelease:
        observed_.presence = Presence::kReleasing;
        inbox_.push_back({Message::Kind::kReleased, record_.generation});
        break;
    }
  }

  // As the engine does: what is of another generation, or cannot follow on what was seen, is not
  // heard.
  void deliver() {
    if (inbox_.empty()) return;
    Message message = inbox_.front();
    inbox_.pop_front();
    if (message.kind == Message::Kind::kReleased)
      world_.release(message.generation);  // it takes its time
    if (message.generation != record_.generation) return;
    switch (message.kind) {
      case Message::Kind::kStarted:
        if (observed_.presence != Presence::kRequested) return;
        observed_.presence = Presence::kPresent;
        inbox_.push_back({Message::Kind::kExecuted, message.generation});
        break;
      case Message::Kind::kStartFailed:
        ended(Presence::kRequested, "could not be started");
        break;
      case Message::Kind::kExecuted:
        if (observed_.presence == Presence::kPresent && !observed_.executed)
          observed_.executed = now_;
        observed_.ready = calm_ || pick(2) == 0;
        break;
      case Message::Kind::kEnded:
        ended(Presence::kPresent, "exit code 1");
        break;
      case Message::Kind::kReleased:
        if (observed_.presence == Presence::kReleasing) observed_ = {};
        break;
    }
  }
  void ended(Presence from, std::string message) {
    if (observed_.presence != from && observed_.presence != Presence::kRequested) return;
    observed_.presence = Presence::kEnded;
    observed_.ending = {.blame = static_cast<Blame>(pick(4)),
                        .reason = Reason::kExitCode,
                        .message = std::move(message),
                        .exit_code = 1};
  }

  std::mt19937 random_;
  World world_;
  Desired desired_;
  Observed observed_;
  Record record_;
  Nanos now_ = 1000s;
  bool calm_ = false;  // no more disturbances
  std::deque<Message> inbox_;
};

}  // namespace

TEST_CASE(
    "whatever happens in whatever order, the machine converges and never asks for two instances") {
  for (unsigned seed = 1; seed <= 4000; ++seed) {
    Simulation simulation(seed);
    for (int i = 0; i < 120; ++i) simulation.disturb();
    INFO("seed " << seed << ": " << simulation.describe());
    bool converged = simulation.converges();
    INFO("at the end: " << simulation.describe());
    REQUIRE_FALSE(simulation.two_instances());
    REQUIRE(converged);
  }
}
