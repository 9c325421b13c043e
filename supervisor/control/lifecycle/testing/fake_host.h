// Effects on a FakeWorld, with everything that may go wrong on the way: an order waits, its answer
// is late, lost or comes twice, a start or release fails, and control dies between any two orders.
// Of each agent, orders are carried out in the order in which they were given, and so are answers
// heard; those of different agents overtake each other. One of them for the life of one control.
// One thread.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/control/lifecycle/start_queue.h"
#include "supervisor/control/lifecycle/testing/dice.h"
#include "supervisor/control/lifecycle/testing/fake_world.h"
#include "tests/support/fake_clock.h"

namespace flodea::control::testing {

// Thrown out of an order: control is no more. Whoever catches it destroys the engine.
struct ControlDies {};

class FakeHost final : public Effects {
 public:
  bool calm = false;  // nothing goes wrong any more
  std::optional<double> pressure = 0;
  std::optional<std::uint32_t> fuse;                   // control dies within this many orders
  std::function<void(const AgentId&)> on_its_own_end;  // control hears of it, or judges it
  std::function<void(const StartOrder&)> on_start;
  std::function<void(const AgentId&)> on_shutdown_of;

  FakeHost(FakeWorld& world, FakeClock& clock, Dice& dice, const HostFacts& facts)
      : world_(world), clock_(clock), dice_(dice), capacity_(capacity_of(facts)) {}
  void hear(EffectEvents& events) { events_ = &events; }

  void prepare(const AgentSpec&, Callback<void> done) override;
  void start(StartOrder order) override;
  void adopt(StartOrder order, const ListedInstance& instance) override;
  void cancel(const AgentId& id, Generation generation) override;
  void stop(const AgentId& id, Generation generation, Nanos grace, const std::string& why) override;
  void kill(const AgentId& id, Generation generation, const std::string& why) override;
  void release(const AgentId& id, Generation generation) override;
  void destroy(const AgentId& id, bool keep_volume, Callback<RemovalReceipt> done) override;
  void open_logs(const AgentId&, const AgentManifest&) override {}
  void inventory(Callback<std::vector<ListedInstance>> done) override;
  void wake_at(const AgentId& id, std::optional<Nanos> monotonic) override;
  std::optional<AgentUsage> usage(const AgentId& id) override;
  std::uint64_t disk_free() override { return 1ull << 40; }
  void freeze(const AgentId& id, Generation generation, bool frozen) override;
  std::optional<double> memory_pressure() override { return pressure; }
  void call_after(Nanos delay, std::function<void()> task) override;

  // One order is carried out, or one answer heard. False: nothing is under way.
  bool deliver();
  void fire_timers();
  // An agent ends by itself, or says something.
  void exit(const AgentId& id, Ending ending);
  void tell_ready(const AgentId& id);
  void tell_health(const AgentId& id, const Health& health);
  // Control is dead: some of its orders still arrive, no answer does.
  void die();

  static Ending ending(Blame blame, std::string message);

 private:
  using Task = std::function<void()>;
  using Lane = std::deque<Task>;

  bool fails(std::uint32_t one_in) { return !calm && dice_.one_in(one_in); }
  void burn();
  void order(const AgentId& id, const std::string& what, Task task);
  void answer(const AgentId& id, Task task, bool once = false);
  void carry_out_start(const StartOrder& order);
  void made(const AgentId& id, Generation generation);
  void present(const AgentId& id, const WorldInstance& instance);
  void execute(const AgentId& id, Generation generation);
  void carry_out_release(const AgentId& id, Generation generation);
  void told_ended(const AgentId& id, Generation generation, const Ending& ending);
  void judged(const AgentId& id, const std::string& why);
  void check_room(const StartOrder& order);

  FakeWorld& world_;
  FakeClock& clock_;
  Dice& dice_;
  HostShare capacity_;
  EffectEvents* events_ = nullptr;
  std::map<AgentId, Lane> orders_, answers_;
  std::map<AgentId, StartOrder> ordered_;               // not carried out yet
  std::map<AgentId, Generation> presented_;             // whose endings are told
  std::map<std::pair<std::string, Nanos>, int> kills_;  // of an instance, at one time
  std::map<AgentId, Nanos> wakes_;
  std::vector<std::pair<Nanos, Task>> later_;
};

}  // namespace flodea::control::testing
