#include "supervisor/control/lifecycle/cause.h"

namespace flodea::control {
namespace {

// Towards running: the reason is still that of the ending before.
bool is_start(AgentState state) {
  return state == AgentState::kPreparing || state == AgentState::kStarting ||
         state == AgentState::kRunning;
}

}  // namespace

std::string cause_of(const Record& record, const std::string& asked_by) {
  if (record.reason == Reason::kOperator) return asked_by;
  if (is_start(record.state)) return "policy";
  switch (record.reason) {
    case Reason::kExitCode:
    case Reason::kSignal:
    case Reason::kOom:
      return "agent";
    case Reason::kQuarantine:
    case Reason::kHealth:
    case Reason::kPolicy:
    case Reason::kQuota:
      return "policy";
    default:
      return "host";
  }
}

}  // namespace flodea::control
