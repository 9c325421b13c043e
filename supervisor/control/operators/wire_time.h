// Wall time between the wire and the domain.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "base/clock.h"

namespace flodea::control {

inline google::protobuf::Timestamp encode_time(Nanos wall) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(wall);
  google::protobuf::Timestamp wire;
  wire.set_seconds(seconds.count());
  wire.set_nanos(static_cast<std::int32_t>((wall - seconds).count()));
  return wire;
}

// Times that 64-bit nanoseconds cannot hold become the nearest one they can.
inline Nanos decode_time(const google::protobuf::Timestamp& wire) {
  constexpr std::int64_t kLimit = 9'000'000'000;
  std::int64_t seconds = wire.seconds() < -kLimit  ? -kLimit
                         : wire.seconds() > kLimit ? kLimit
                                                   : wire.seconds();
  return std::chrono::seconds(seconds) + Nanos(wire.nanos());
}

}  // namespace flodea::control
