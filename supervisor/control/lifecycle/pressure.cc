#include "supervisor/control/lifecycle/pressure.h"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace flodea::control {
namespace {

bool goes_first(const Freezable& a, const Freezable& b) {
  return std::tuple(a.priority, ~a.memory_bytes, a.id) <
         std::tuple(b.priority, ~b.memory_bytes, b.id);
}

}  // namespace

std::optional<double> parse_pressure(std::string_view text) {
  constexpr std::string_view kPrefix = "some avg10=";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0 || value > 100) return std::nullopt;
  return value;
}

FreezeStep judge_pressure(double some_avg10, const std::vector<Freezable>& agents) {
  FreezeStep step;
  const Freezable* chosen = nullptr;
  for (const Freezable& agent : agents) {
    if (some_avg10 > kFreezeAbove) {
      bool may = !agent.frozen && agent.idle && agent.priority < kNeverFrozenFrom;
      if (may && (chosen == nullptr || goes_first(agent, *chosen))) chosen = &agent;
    } else if (some_avg10 < kThawBelow && agent.frozen) {
      if (chosen == nullptr || goes_first(*chosen, agent)) chosen = &agent;
    }
  }
  if (chosen != nullptr) (chosen->frozen ? step.thaw : step.freeze) = chosen->id;
  return step;
}

}  // namespace flodea::control
