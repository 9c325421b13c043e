// When the host is short of memory: which idle agents of low priority are frozen, and when they go
// on. Pure. Freezing gives no memory back by itself; it keeps who has nothing to do from asking for
// more, and lets the kernel take the pages that it does not touch.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "policy/agent_spec.h"

namespace flodea::control {

// Of the last ten seconds, the part in which some task waited for memory: PSI's "some avg10", in
// percent (Documentation/accounting/psi.rst). Nothing: it is not a line of that form.
std::optional<double> parse_pressure(std::string_view text);

inline constexpr double kFreezeAbove = 20.0;           // percent
inline constexpr double kThawBelow = 5.0;              // percent
inline constexpr std::uint32_t kNeverFrozenFrom = 50;  // priority, the default one
// An agent is idle that used less than this of a core over the time between two looks.
inline constexpr double kIdleBelow = 0.01;
inline constexpr Nanos kPressurePeriod = std::chrono::seconds(2);

inline bool may_be_frozen(const AgentSpec& spec) { return spec.priority < kNeverFrozenFrom; }

struct Freezable {
  AgentId id;
  std::uint32_t priority = kNeverFrozenFrom;
  std::uint64_t memory_bytes = 0;  // charged now
  bool idle = false;
  bool frozen = false;
};

struct FreezeStep {
  std::optional<AgentId> freeze, thaw;
};

// One agent at a time, so that what it brings is seen before the next: the lowest priority first,
// and of those the largest; back in the opposite order.
FreezeStep judge_pressure(double some_avg10, const std::vector<Freezable>& agents);

}  // namespace flodea::control
