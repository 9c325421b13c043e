// What a hostile worker does with its socket: raw HTTP/2, as much of it as it can in a bounded
// time.
#pragma once

#include <map>
#include <string>

#include "base/unique_fd.h"

namespace flodea::testing {

struct Outcome {
  bool closed = false;         // the other side ended the connection
  std::uint64_t accepted = 0;  // bytes it took
};

using Attack = Outcome (*)(const UniqueFd& socket);
// "garbage", "streams_without_ack", …
const std::map<std::string, Attack>& attacks();

}  // namespace flodea::testing
