#include "cli/order/turns.h"

#include <algorithm>

namespace flodea::cli {

Turns::Turns(Names names, Precedence before)
    : left_(std::move(names)), before_(std::move(before)) {}

std::optional<std::string> Turns::next() {
  std::unique_lock lock(mutex_);
  Names::iterator it;
  changed_.wait(lock, [&] {
    it = std::ranges::find_if(left_, [this](const std::string& name) {
      auto before = before_.find(name);
      return before == before_.end() || before->second.empty();
    });
    // Nobody is under way, and none is free: agents of a ring, which there should not be.
    if (it == left_.end() && running_ == 0) it = left_.begin();
    return it != left_.end() || left_.empty();
  });
  if (left_.empty()) return std::nullopt;
  std::string name = std::move(*it);
  left_.erase(it);
  ++running_;
  return name;
}

void Turns::done(const std::string& name) {
  std::lock_guard lock(mutex_);
  for (auto& [other, first] : before_) first.erase(name);
  --running_;
  changed_.notify_all();
}

}  // namespace flodea::cli
