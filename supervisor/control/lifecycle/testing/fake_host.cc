#include "supervisor/control/lifecycle/testing/fake_host.h"

namespace flodea::control::testing {

Ending FakeHost::ending(Blame blame, std::string message) {
  std::optional<int> code;
  if (blame == Blame::kSuccess) code = 0;
  if (blame == Blame::kFailure) code = 3;
  return {.blame = blame,
          .reason = blame == Blame::kBlameless ? Reason::kHost : Reason::kExitCode,
          .message = std::move(message),
          .exit_code = code};
}

// ---- how an order goes

void FakeHost::burn() {
  if (!fuse) return;
  if (*fuse > 0) {
    --*fuse;
    return;
  }
  fuse.reset();
  world_.say("   control dies");
  throw ControlDies{};
}

void FakeHost::order(const AgentId& id, const std::string& what, Task task) {
  burn();
  world_.say("   > " + what);
  orders_[id].push_back(std::move(task));
  burn();
}

void FakeHost::answer(const AgentId& id, Task task, bool once) {
  if (!once && fails(12)) answers_[id].push_back(task);
  answers_[id].push_back(std::move(task));
}

bool FakeHost::deliver() {
  std::vector<Lane*> lanes;
  for (auto* all : {&orders_, &answers_}) {
    for (auto& [id, lane] : *all) {
      if (!lane.empty()) lanes.push_back(&lane);
    }
  }
  if (lanes.empty()) return false;
  Lane& lane = *dice_.of(lanes);
  Task task = std::move(lane.front());
  lane.pop_front();
  task();
  return true;
}

void FakeHost::die() {
  fuse.reset();
  for (auto& [id, lane] : orders_) {
    auto arrive = dice_.pick(static_cast<std::uint32_t>(lane.size()) + 1);
    for (std::uint32_t i = 0; i < arrive && !lane.empty(); ++i) {
      Task task = std::move(lane.front());
      lane.pop_front();
      task();
    }
  }
  orders_.clear();
  answers_.clear();
}

// ---- timers

void FakeHost::wake_at(const AgentId& id, std::optional<Nanos> monotonic) {
  wakes_.erase(id);
  if (monotonic) wakes_[id] = *monotonic;
}

void FakeHost::call_after(Nanos delay, std::function<void()> task) {
  later_.emplace_back(clock_.monotonic() + delay, std::move(task));
}

void FakeHost::fire_timers() {
  Nanos now = clock_.monotonic();
  for (const auto& [id, at] : std::map(wakes_)) {
    if (at > now) continue;
    wakes_.erase(id);
    events_->on_wake(id);
  }
  auto due =
      std::ranges::stable_partition(later_, [&](const auto& one) { return one.first > now; });
  std::vector<std::pair<Nanos, Task>> tasks(due.begin(), due.end());
  later_.erase(due.begin(), due.end());
  for (auto& [at, task] : tasks) task();
}

// ---- from an order to an agent that runs

void FakeHost::prepare(const AgentSpec&, Callback<void> done) {
  bool failed = fails(10);
  answer(
      {},
      [failed, done = std::move(done)] {
        done(failed ? Status(fail(Code::kUnavailable, "the packages cannot be had")) : Status());
      },
      true);
}

// What control has promised: of what there is and of what it has asked for.
void FakeHost::check_room(const StartOrder& order) {
  std::uint64_t memory = order.manifest.spec.resources.memory_bytes;
  std::uint32_t starting = 1;
  for (const auto& [id, instance] : world_.instances) {
    memory += instance.manifest.spec.resources.memory_bytes;
    if (instance.lives() && !instance.executed && !instance.given_up) ++starting;
  }
  for (const auto& [id, other] : ordered_) memory += other.manifest.spec.resources.memory_bytes;
  starting += static_cast<std::uint32_t>(ordered_.size());
  std::string who = FakeWorld::call(order.id, order.generation);
  world_.must(memory <= capacity_.memory_bytes, "no memory is left for " + who);
  world_.must(starting <= capacity_.starting, "too many starts at once: " + who);
}

void FakeHost::start(StartOrder order) {
  AgentId id = order.id;
  std::string who = FakeWorld::call(id, order.generation);
  burn();
  world_.say("   > start " + who + " " + order.manifest.name);
  world_.promised(order);
  check_room(order);
  on_start(order);
  ordered_[id] = order;
  Task begin = [this, id, generation = order.generation] {
    auto it = ordered_.find(id);
    if (it == ordered_.end() || it->second.generation != generation) return;  // it was cancelled
    StartOrder wanted = std::move(it->second);
    ordered_.erase(it);
    carry_out_start(wanted);
  };
  if (order.volume_made) {
    orders_[id].push_back(std::move(begin));
  } else {
    orders_[id].push_back([this, id, begin = std::move(begin)] {
      world_.volumes.insert(id);
      answer(id, [this, id] { events_->on_volume_made(id); });
      orders_[id].push_back(begin);
    });
  }
  burn();
}

void FakeHost::carry_out_start(const StartOrder& order) {
  const AgentId id = order.id;
  const Generation generation = order.generation;
  std::string who = FakeWorld::call(id, generation);
  if (fails(8)) {
    world_.say("     " + who + " could not be started");
    Blame blame = dice_.of<Blame>({Blame::kFailure, Blame::kBlameless, Blame::kHopeless});
    return told_ended(id, generation, ending(blame, "could not be started"));
  }
  world_.start(order);
  if (fails(16)) {  // there it is, but nobody hears of it
    world_.say("     " + who + " is made, the answer is lost");
    world_.instances.at(id).given_up = true;
    return told_ended(id, generation, ending(Blame::kFailure, "no answer from flodead"));
  }
  world_.say("     " + who + " is being made");
  orders_[id].push_front([this, id, generation] { made(id, generation); });
}

void FakeHost::made(const AgentId& id, Generation generation) {
  WorldInstance* instance = world_.find(id, generation);
  if (instance == nullptr) return;
  if (instance->lives()) instance->life = WorldInstance::Life::kLive;
  present(id, *instance);
}

void FakeHost::present(const AgentId& id, const WorldInstance& instance) {
  Generation generation = instance.generation;
  presented_[id] = generation;
  Presented found{.uid_base = 70000, .executed = instance.executed, .ready = instance.ready};
  if (instance.executed) found.health = HealthReport{.health = instance.health};
  answer(id, [this, id, generation, found] { events_->on_present(id, generation, found); });
  if (!instance.lives()) return told_ended(id, generation, instance.ending);
  if (!instance.executed)
    orders_[id].push_back([this, id, generation] { execute(id, generation); });
}

void FakeHost::execute(const AgentId& id, Generation generation) {
  WorldInstance* instance = world_.find(id, generation);
  if (instance == nullptr || !instance->lives()) return;
  if (fails(16)) return;  // its worker hangs
  instance->executed = clock_.monotonic();
  world_.say("     " + FakeWorld::call(id, generation) + " runs");
  answer(id, [this, id, generation, at = *instance->executed] {
    events_->on_executed(id, generation, at, {{"exec", Nanos(1)}});
  });
}

void FakeHost::adopt(StartOrder wanted, const ListedInstance&) {
  AgentId id = wanted.id;
  Generation generation = wanted.generation;
  std::string who = FakeWorld::call(id, generation);
  order(id, "adopt " + who, [this, id, generation, who] {
    WorldInstance* instance = world_.find(id, generation);
    if (instance == nullptr || fails(16)) {
      world_.say("     " + who + " cannot be adopted");
      if (instance != nullptr) instance->given_up = true;
      return told_ended(id, generation, ending(Blame::kFailure, "it could not be adopted"));
    }
    instance->frozen = false;
    made(id, generation);
  });
}

}  // namespace flodea::control::testing
