// FakeHost: from the end of an instance to nothing left of it, and what agents say meanwhile.
#include "supervisor/control/lifecycle/testing/fake_host.h"

namespace flodea::control::testing {
namespace {

constexpr int kKillsAtOnce = 3;  // given up, then found there, then taken over by the next control

}  // namespace

void FakeHost::told_ended(const AgentId& id, Generation generation, const Ending& ending) {
  answer(id, [this, id, generation, ending] {
    if (ending.blame != Blame::kBlameless) on_its_own_end(id);
    events_->on_ended(id, generation, ending);
  });
}

void FakeHost::judged(const AgentId& id, const std::string& why) {
  if (why == "health" || why == "worker") on_its_own_end(id);
  if (why == "shutdown") on_shutdown_of(id);
}

void FakeHost::exit(const AgentId& id, Ending ending) {
  WorldInstance& instance = world_.instances.at(id);
  if (!instance.lives()) return;
  world_.say("     " + FakeWorld::call(id, instance.generation) + " ends: " + ending.message);
  world_.exit(instance, std::move(ending));
  auto known = presented_.find(id);
  if (known != presented_.end() && known->second == instance.generation)
    told_ended(id, instance.generation, instance.ending);
}

void FakeHost::cancel(const AgentId& id, Generation generation) {
  auto waiting = ordered_.find(id);
  bool unsent = waiting != ordered_.end() && waiting->second.generation == generation;
  if (!unsent || dice_.one_in(2)) return kill(id, generation, "operator");
  burn();
  world_.say("   > cancel " + FakeWorld::call(id, generation));
  ordered_.erase(waiting);
  events_->on_ended(id, generation, ending(Blame::kBlameless, "stopped before it was started"));
}

void FakeHost::stop(const AgentId& id, Generation generation, Nanos, const std::string& why) {
  std::string who = FakeWorld::call(id, generation);
  judged(id, why);
  order(id, "stop " + who + " " + why, [this, id, generation] {
    if (world_.find(id, generation) == nullptr || fails(6)) return;  // it does not listen
    WorldInstance& instance = world_.instances.at(id);
    world_.must(!instance.frozen,
                FakeWorld::call(id, generation) + " is to stop while it is frozen");
    exit(id, dice_.one_in(2) ? ending(Blame::kSuccess, "exit code 0")
                             : ending(Blame::kFailure, "signal 15"));
  });
}

void FakeHost::kill(const AgentId& id, Generation generation, const std::string& why) {
  std::string who = FakeWorld::call(id, generation);
  judged(id, why);
  int& times = kills_[{who, clock_.monotonic()}];
  world_.must(++times <= kKillsAtOnce, who + " is killed over and over");
  order(id, "kill " + who + " " + why, [this, id, generation] {
    if (world_.find(id, generation) == nullptr || fails(6)) return;
    exit(id, ending(Blame::kFailure, "signal 9"));
  });
}

void FakeHost::release(const AgentId& id, Generation generation) {
  presented_.erase(id);
  order(id, "release " + FakeWorld::call(id, generation),
        [this, id, generation] { carry_out_release(id, generation); });
}

void FakeHost::carry_out_release(const AgentId& id, Generation generation) {
  std::string who = FakeWorld::call(id, generation);
  if (fails(8)) {
    world_.say("     " + who + " cannot be released yet");
    answer(id, [this, id, generation] {
      events_->on_release_failed(id, generation, fail(Code::kUnavailable, "it is busy").value());
    });
    return orders_[id].push_back([this, id, generation] { carry_out_release(id, generation); });
  }
  world_.say("     " + who + " is released");
  world_.release(id, generation);
  answer(id, [this, id, generation] { events_->on_released(id, generation); });
}

void FakeHost::destroy(const AgentId& id, bool keep_volume, Callback<RemovalReceipt> done) {
  order(id, std::string("destroy ") + (keep_volume ? "the log of " : "") + id.text().substr(28),
        [this, id, keep_volume, done = std::move(done)] {
          bool failed = fails(5);
          if (!failed && !keep_volume) world_.destroy(id);
          Result<RemovalReceipt> receipt = RemovalReceipt{
              .id = id, .key_digest = keep_volume ? "" : "d1", .destroyed = clock_.wall()};
          if (failed) receipt = fail(Code::kUnavailable, "the vault is away");
          answer(id, [done, receipt] { done(receipt); }, true);
        });
}

// ---- what it says meanwhile

void FakeHost::inventory(Callback<std::vector<ListedInstance>> done) {
  orders_[{}].push_back([this, done = std::move(done)] {
    answer({}, [done, list = world_.list()] { done(list); }, true);
  });
}

void FakeHost::freeze(const AgentId& id, Generation generation, bool frozen) {
  order(id, (frozen ? "freeze " : "thaw ") + FakeWorld::call(id, generation),
        [this, id, generation, frozen] { world_.freeze(id, generation, frozen); });
}

std::optional<AgentUsage> FakeHost::usage(const AgentId& id) {
  if (!presented_.contains(id)) return std::nullopt;
  return AgentUsage{.memory_bytes = 1 << 20};
}

void FakeHost::tell_ready(const AgentId& id) {
  WorldInstance& instance = world_.instances.at(id);
  if (!instance.lives() || !instance.executed || std::exchange(instance.ready, true)) return;
  if (!presented_.contains(id)) return;
  answer(id, [this, id, generation = instance.generation] { events_->on_ready(id, generation); });
}

void FakeHost::tell_health(const AgentId& id, const Health& health) {
  WorldInstance& instance = world_.instances.at(id);
  if (!instance.lives() || !instance.executed || instance.health == health) return;
  instance.health = health;
  if (!presented_.contains(id)) return;
  answer(id, [this, id, generation = instance.generation, health] {
    events_->on_health(id, generation, {.health = health, .view = {}, .events = {}});
  });
}

}  // namespace flodea::control::testing
