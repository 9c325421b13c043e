#include "supervisor/control/lifecycle/testing/story.h"

namespace flodea::control::testing {
namespace {

struct Chance {
  Act act;
  const char* name;
  std::uint32_t weight;
};
constexpr Chance kChances[] = {
    {Act::kApply, "apply", 10},
    {Act::kRelabel, "relabel", 2},
    {Act::kRemove, "remove", 4},
    {Act::kStop, "stop", 4},
    {Act::kStart, "start", 4},
    {Act::kRestart, "restart", 3},
    {Act::kRollback, "rollback", 2},
    {Act::kAwait, "await", 5},
    {Act::kDeliver, "deliver", 50},
    {Act::kPass, "time passes", 14},
    {Act::kExit, "an agent ends", 6},
    {Act::kReady, "an agent is ready", 4},
    {Act::kHealth, "a probe says something", 4},
    {Act::kPressure, "memory pressure changes", 3},
    {Act::kKill, "control is killed", 3},
    {Act::kKillSoon, "control will be killed", 5},
    {Act::kRootKill, "flodead is killed", 1},
    {Act::kReboot, "the host starts again", 1},
    {Act::kPowerFails, "power fails", 2},
    {Act::kShutDown, "the supervisor is shut down", 1},
    {Act::kSetClock, "somebody sets the clock", 1},
    {Act::kDiskFull, "the disk is full", 1},
    {Act::kDiskFree, "the disk has room", 2},
};

}  // namespace

const char* act_name(Act act) {
  for (const Chance& chance : kChances) {
    if (chance.act == act) return chance.name;
  }
  return "";
}

Story make_story(std::uint32_t seed, std::size_t length) {
  Dice dice(seed);
  std::vector<Act> acts;
  for (const Chance& chance : kChances) acts.insert(acts.end(), chance.weight, chance.act);
  Story story;
  for (std::size_t i = 0; i < length; ++i)
    story.push_back({.act = dice.of(acts), .seed = dice.pick(1u << 31)});
  return story;
}

Story shorten(Story story, const std::function<bool(const Story&)>& fails) {
  for (std::size_t part = story.size() / 2; part > 0; part /= 2) {
    for (std::size_t at = 0; at + part <= story.size();) {
      Story rest = story;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at),
                 rest.begin() + static_cast<std::ptrdiff_t>(at + part));
      if (fails(rest))
        story = std::move(rest);
      else
        at += part;
    }
  }
  return story;
}

}  // namespace flodea::control::testing
