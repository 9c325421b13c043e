// What the guard tells of an agent that ran into one of its limits (docs/guard.md names them).
#pragma once

#include <functional>
#include <string>

#include "base/ids.h"

namespace flodea::control {

enum class LimitEffect {
  kSlowed,  // its connection waits for a rate; told at most every 10 s
  kClosed,  // its connection is gone: it needs a fresh one
};

struct LimitNotice {
  AgentId agent;
  std::string limit;  // "calls", "preface", …
  LimitEffect effect = LimitEffect::kSlowed;

  std::string text() const {  // for the event
    return effect == LimitEffect::kClosed ? "connection closed: limit " + limit
                                          : "slowed: rate " + limit;
  }
};

using LimitObserver = std::function<void(const LimitNotice&)>;

}  // namespace flodea::control
