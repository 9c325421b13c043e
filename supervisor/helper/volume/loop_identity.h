// Which loop device holds a volume, in a way that cannot be confused with its next user: numbers
// are reused at once, labels never. Part of flodea_volume: flodead keeps it in its journal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::volume {

struct LoopIdentity {
  int number = -1;                   // /dev/loopN
  std::uint64_t backing_device = 0;  // st_dev of the backing file, as LOOP_GET_STATUS64 tells it
  std::uint64_t backing_inode = 0;
  std::string label;  // lo_file_name: "flodea-" and 32 random hex digits

  std::string encode() const;  // one line without blanks
  static Result<LoopIdentity> decode(std::string_view text);
  bool operator==(const LoopIdentity&) const = default;
};

}  // namespace flodea::volume
