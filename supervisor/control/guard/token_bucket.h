// A rate with a burst. Pure: the time is passed in. May go into debt (`charge`), which later takers
// wait off.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace flodea::control {

class TokenBucket {
 public:
  TokenBucket(double per_second, double burst)
      : rate_(std::max(per_second, 0.001)), burst_(std::max(burst, 1.0)), tokens_(burst_) {}

  // One token, if there is a whole one.
  bool take(Nanos now) {
    refill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  void charge(double tokens) { tokens_ = std::max(tokens_ - tokens, -burst_); }
  // When `take` will succeed, if nobody else takes.
  Nanos next(Nanos now) const {
    if (tokens_ >= 1) return now;
    auto wait = std::chrono::duration<double>((1 - tokens_) / rate_);
    return now + std::chrono::ceil<Nanos>(wait);
  }

 private:
  void refill(Nanos now) {
    if (now <= last_) return;
    double seconds = std::chrono::duration<double>(now - last_).count();
    tokens_ = std::min(burst_, tokens_ + rate_ * seconds);
    last_ = now;
  }

  double rate_;
  double burst_;
  double tokens_;
  Nanos last_{};
};

}  // namespace flodea::control
