// One thing at a time per agent: verbs that open, close or destroy its volume wait for each other,
// in order.
#pragma once

#include <deque>
#include <map>

#include "base/ids.h"
#include "supervisor/root/async.h"

namespace flodea::root {

class AgentTurns {
 public:
  explicit AgentTurns(EventLoop& loop) : loop_(loop) {}

  // Held until destroyed; then the next one waiting goes on.
  class Turn {
   public:
    Turn(AgentTurns& turns, AgentId agent) : turns_(&turns), agent_(std::move(agent)) {}
    Turn(Turn&& other) noexcept
        : turns_(std::exchange(other.turns_, nullptr)), agent_(std::move(other.agent_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->pass_on(agent_);
    }

   private:
    AgentTurns* turns_;
    AgentId agent_;
  };

  // Await it, then make a Turn.
  OneShot<bool> wait(const AgentId& agent) {
    OneShot<bool> turn(loop_);
    auto& queue = queues_[agent];
    queue.push_back(turn);
    if (queue.size() == 1) turn.set(true);
    return turn;
  }

 private:
  void pass_on(const AgentId& agent) {
    auto& queue = queues_[agent];
    queue.pop_front();
    if (queue.empty())
      queues_.erase(agent);
    else
      queue.front().set(true);
  }

  EventLoop& loop_;
  std::map<AgentId, std::deque<OneShot<bool>>> queues_;
};

}  // namespace flodea::root
