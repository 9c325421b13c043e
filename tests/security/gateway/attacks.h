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

// What an attack goes on for: the other side takes no more for a second, or ends the connection.
enum class Until { kStalled, kClosed };

using Attack = Outcome (*)(const UniqueFd& socket, Until until);
// "garbage", "streams_without_ack", …
const std::map<std::string, Attack>& attacks();

}  // namespace flodea::testing
