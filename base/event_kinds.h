// The kinds of events there are; docs/events.md says when each comes.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace flodea {

inline constexpr std::array<std::string_view, 13> kEventKinds{
    "agent.state",  "agent.pending", "agent.proven",  "agent.put_back", "agent.frozen",
    "agent.thawed", "agent.applied", "agent.removed", "agent.limit",    "agent.health",
    "agent.denied", "layer.damaged", "service"};

constexpr bool is_event_kind(std::string_view name) {
  return std::ranges::find(kEventKinds, name) != kEventKinds.end();
}

// For who records one: a name that is not listed does not compile.
consteval const char* event_kind(const char* name) {
  return is_event_kind(name) ? name : throw "no kind of events";
}

}  // namespace flodea
