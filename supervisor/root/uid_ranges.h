// Ranges of 65,536 host uids (and gids), one per running agent, never shared: not by two agents,
// nor by two supervisors of one host. The table is one file of the host, a byte per range: 1 from
// `take` until `give`, so that a range whose supervisor was killed stays taken while its processes
// may live; that supervisor's next life gives it back from its journal, a boot clears the whole
// table. Never blocks: a byte is changed under an open-file-description lock on that byte, and a
// locked byte is a range in use.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::root {

struct UidRange {
  static constexpr std::uint32_t kSize = 65536;
  std::uint32_t index = 0;
  std::uint32_t base = 0;  // first uid
};

// Intervals [first, first + count) of /etc/subuid's text that belong to others.
struct SubordinateIds {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
std::vector<SubordinateIds> parse_subids(std::string_view text);

class UidRanges {
 public:
  static constexpr std::uint32_t kFirst = 1'879'048'192;
  static constexpr std::uint32_t kLast = 2'147'483'647;
  static constexpr std::uint32_t kCount = (kLast - kFirst + 1) / UidRange::kSize;

  // `directory` is made if it is not there (root's, 0700; /run/lock/flodea). `taken` are ranges
  // never to be given out.
  static Result<UidRanges> open(const std::string& directory, std::string_view boot_id,
                                const std::vector<SubordinateIds>& taken);

  Result<UidRange> take();  // round-robin; kResourceExhausted when all are taken
  Status give(UidRange range);
  // As `give`, for a range that an earlier life took (from its journal).
  Status give_back(std::uint32_t index);
  std::uint32_t usable() const { return kCount - static_cast<std::uint32_t>(reserved_.size()); }

 private:
  UidRanges() = default;
  Status start_boot(std::string_view boot_id);
  Result<bool> claim(std::uint32_t index);
  Status lock(short type, std::int64_t offset) const;

  UniqueFd table_;
  std::set<std::uint32_t> reserved_;
  std::uint32_t next_ = 0;
};

}  // namespace flodea::root
