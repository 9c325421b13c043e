#include "cli/order/order.h"

#include <functional>

namespace flodea::cli {
namespace {

// Calls `leave` for all that `name` comes after, each once and behind those it comes after itself,
// and for `name` last. A ring, which no supervisor takes, is cut where it closes.
void walk(const std::string& name, const After& after, std::set<std::string>& seen,
          const std::function<void(const std::string&)>& leave) {
  if (!seen.insert(name).second) return;
  if (auto it = after.find(name); it != after.end()) {
    for (const std::string& other : it->second) walk(other, after, seen, leave);
  }
  leave(name);
}

}  // namespace

Names in_start_order(const Names& names, const After& after) {
  std::set<std::string> wanted(names.begin(), names.end()), seen;
  Names order;
  for (const std::string& name : names) {
    walk(name, after, seen, [&](const std::string& left) {
      if (wanted.contains(left)) order.push_back(left);
    });
  }
  return order;
}

Precedence stopped_before(const Names& names, const After& after) {
  std::set<std::string> wanted(names.begin(), names.end());
  Precedence before;
  for (const std::string& name : names) {
    std::set<std::string> seen;
    walk(name, after, seen, [&](const std::string& left) {
      if (left != name && wanted.contains(left)) before[left].insert(name);
    });
  }
  return before;
}

}  // namespace flodea::cli
