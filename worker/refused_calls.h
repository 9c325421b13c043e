// System calls that the agent's filter reports (SECCOMP_RET_USER_NOTIF): each is answered with
// EPERM, counted in the status page by number, and summed up for control. Owner: Worker. Thread:
// the loop's. It never lets a call through (no FLAG_CONTINUE): what the agent's memory held when
// the call was looked at may have changed by then.
#pragma once

#include <cstdint>
#include <map>

#include "base/event_loop.h"
#include "base/mapped_status_page.h"

namespace flodea::worker {

class RefusedCalls {
 public:
  RefusedCalls(EventLoop& loop, StatusPageWriter& page) : loop_(loop), page_(page) {}
  ~RefusedCalls();
  RefusedCalls(const RefusedCalls&) = delete;

  // `socket` yields the listener in one message, as soon as the child has loaded its filter.
  Status expect_listener(UniqueFd socket);

  using Counts = std::map<std::uint32_t, std::uint64_t>;  // by system call number
  const Counts& unreported() const { return unreported_; }
  void reported() { unreported_.clear(); }

 private:
  void take_listener();
  Status watch_listener(UniqueFd listener);
  void answer_some();
  bool answer_one();
  void drop_listener();

  EventLoop& loop_;
  StatusPageWriter& page_;
  UniqueFd socket_;
  UniqueFd listener_;
  Counts unreported_;
};

}  // namespace flodea::worker
