// When a service is started again: at once, then after rising delays while it keeps dying young.
// Pure: time is passed in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace flodea::root {

struct RestartPolicy {
  Nanos first = std::chrono::milliseconds(
      50);  // before the second restart in a row; the first waits for nothing
  Nanos longest = std::chrono::milliseconds(
      500);  // a stall that agents hardly notice; a crash loop is said, not slowed
  Nanos steady = std::chrono::seconds(1);  // a life this long ends a row
  std::uint32_t crash_loop = 8;  // restarts in a row from which on it is called a crash loop
};

class RestartHistory {
 public:
  explicit RestartHistory(RestartPolicy policy = {}) : policy_(policy) {}

  struct Decision {
    Nanos delay{};
    bool crash_loop = false;
  };
  Decision ended(Nanos started, Nanos now) {
    in_a_row_ = now - started >= policy_.steady ? 0 : in_a_row_ + 1;
    ++total_;
    Nanos delay{};
    if (in_a_row_ > 1)
      delay =
          std::min(policy_.longest,
                   policy_.first * (std::int64_t{1} << std::min<std::uint32_t>(in_a_row_ - 2, 20)));
    return {delay, in_a_row_ >= policy_.crash_loop};
  }
  std::uint64_t total() const { return total_; }

 private:
  RestartPolicy policy_;
  std::uint32_t in_a_row_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace flodea::root
