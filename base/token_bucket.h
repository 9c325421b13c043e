// A rate with a burst, by a clock passed in. Not thread-safe. It may go into debt, so that a thing
// larger than what is left is delayed rather than refused for ever.
#pragma once

#include <limits>
#include <optional>

#include "base/clock.h"

namespace flodea {

class TokenBucket {
 public:
  // Starts full. A rate of 0 means "no limit".
  TokenBucket(double per_second, double burst) : rate_(per_second), burst_(burst), tokens_(burst) {}

  // Keeps what is left, cut to the new burst.
  void change(double per_second, double burst, Nanos now);

  bool unlimited() const { return rate_ <= 0; }
  double burst() const { return burst_; }
  double available(Nanos now);
  bool full(Nanos now) { return available(now) >= burst_; }

  // One token, if there is a whole one.
  bool take(Nanos now);
  // Later takers wait off what goes below zero, down to `most_debt`.
  void charge(double amount, double most_debt = std::numeric_limits<double>::infinity());
  // Until `amount` is there (or a full bucket, if that is less) when nobody else takes; zero when
  // it is.
  Nanos wait_for(double amount, Nanos now);

 private:
  void refill(Nanos now);

  double rate_;
  double burst_;
  double tokens_;
  std::optional<Nanos> at_;  // of the last refill; before the first there is nothing to add
};

}  // namespace flodea
