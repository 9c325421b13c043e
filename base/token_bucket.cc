#include "base/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace flodea {
namespace {

constexpr double kNanosPerSecond = 1e9;

}  // namespace

void TokenBucket::change(double per_second, double burst, Nanos now) {
  refill(now);
  rate_ = per_second;
  burst_ = burst;
  tokens_ = std::min(tokens_, burst_);
}

double TokenBucket::available(Nanos now) {
  refill(now);
  return unlimited() ? std::numeric_limits<double>::infinity() : tokens_;
}

bool TokenBucket::take(Nanos now) {
  if (available(now) < 1) return false;
  charge(1);
  return true;
}

void TokenBucket::charge(double amount, double most_debt) {
  if (!unlimited()) tokens_ = std::max(tokens_ - amount, std::min(tokens_, -most_debt));
}

Nanos TokenBucket::wait_for(double amount, Nanos now) {
  double missing = std::min(amount, burst_) - available(now);
  if (missing <= 0) return Nanos::zero();
  return Nanos(static_cast<Nanos::rep>(std::ceil(missing / rate_ * kNanosPerSecond)));
}

void TokenBucket::refill(Nanos now) {
  if (at_ && now > *at_) {
    double added = rate_ * static_cast<double>((now - *at_).count()) / kNanosPerSecond;
    tokens_ = std::min(burst_, tokens_ + added);
  }
  at_ = at_ ? std::max(*at_, now) : now;
}

}  // namespace flodea
