// A rate with a burst, by a clock passed in. Not thread-safe. It may go into debt by one charge, so
// that a thing larger than what is left is delayed rather than refused for ever.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace flodea::control {

class TokenBucket {
 public:
  // Starts full. A rate of 0 means "no limit".
  TokenBucket(double per_second, double burst, Nanos now)
      : rate_(per_second), burst_(burst), tokens_(burst), at_(now) {}

  // Keeps what is left, cut to the new burst.
  void change(double per_second, double burst, Nanos now) {
    refill(now);
    rate_ = per_second;
    burst_ = burst;
    tokens_ = std::min(tokens_, burst_);
  }

  bool unlimited() const { return rate_ <= 0; }
  double available(Nanos now) {
    refill(now);
    return unlimited() ? burst_ + 1 : tokens_;
  }
  void charge(double amount) {
    if (!unlimited()) tokens_ -= amount;
  }
  // Until `amount` is there; zero when it is.
  Nanos wait_for(double amount, Nanos now) {
    double missing = std::min(amount, burst_) - available(now);
    if (unlimited() || missing <= 0) return Nanos::zero();
    return Nanos(static_cast<std::int64_t>(missing / rate_ * 1e9) + 1);
  }
  bool full(Nanos now) { return available(now) >= burst_; }

 private:
  void refill(Nanos now) {
    if (now <= at_) return;
    tokens_ = std::min(burst_, tokens_ + rate_ * static_cast<double>((now - at_).count()) / 1e9);
    at_ = now;
  }

  double rate_;
  double burst_;
  double tokens_;
  Nanos at_;
};

}  // namespace flodea::control
