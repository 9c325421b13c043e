#include "supervisor/control/operators/callers.h"

#include <charconv>
#include <string_view>

namespace flodea::control {

void Callers::note(int fd, uid_t uid) {
  std::lock_guard lock(mutex_);
  uids_[fd] = uid;
}

std::string Callers::who(const std::string& peer) const {
  constexpr std::string_view kPrefix = "fd:";
  if (!peer.starts_with(kPrefix)) return "";
  int fd = -1;
  std::from_chars(peer.data() + kPrefix.size(), peer.data() + peer.size(), fd);
  std::lock_guard lock(mutex_);
  auto known = uids_.find(fd);
  return known == uids_.end() ? "" : "uid " + std::to_string(known->second);
}

}  // namespace flodea::control
