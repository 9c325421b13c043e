// A random sequence of what may befall an engine. Each step has randomness of its own, so that a
// story without some of its steps is still the same story otherwise: a failing one is made shorter
// until a person can read it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/testing/dice.h"

namespace flodea::control::testing {

enum class Act {
  kApply,
  kRelabel,
  kRemove,
  kStop,
  kStart,
  kRestart,
  kRollback,
  kAwait,
  kDeliver,
  kPass,
  kExit,
  kReady,
  kHealth,
  kPressure,
  kKill,
  kKillSoon,
  kRootKill,
  kReboot,
  kPowerFails,
  kShutDown,
  kSetClock,
  kDiskFull,
  kDiskFree,
};
const char* act_name(Act act);

struct StoryStep {
  Act act = Act::kDeliver;
  std::uint32_t seed = 0;
};
using Story = std::vector<StoryStep>;

Story make_story(std::uint32_t seed, std::size_t length);

// The shortest that was found of those that still fail, by leaving out ever smaller parts.
Story shorten(Story story, const std::function<bool(const Story&)>& fails);

}  // namespace flodea::control::testing
