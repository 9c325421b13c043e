// A directory as a bundle: looked through without following a link, judged by the rules the
// supervisor has, then read piece by piece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bundle_rules.h"
#include "base/unique_fd.h"

namespace flodea::cli {

struct BundleItem {
  std::string path;
  std::uint32_t mode = 0;
  std::uint64_t size = 0;  // of a file
  std::string target;      // of a link
};

struct BundleTree {
  std::string directory;  // as the user wrote it
  UniqueFd top;
  std::vector<BundleItem> items;  // parents before children, sorted
  std::uint64_t bytes = 0;
};

class BundleSink {
 public:
  virtual ~BundleSink() = default;
  virtual Status entry(const BundleItem& item) = 0;
  virtual Status data(std::string_view piece) = 0;  // of the file last begun; ≤ kPiece bytes
};
inline constexpr std::size_t kPiece = 64 << 10;

// Refuses what the supervisor would, before a byte is read. `.git` and `__pycache__` are left out,
// wherever they are.
Result<BundleTree> scan_bundle(const std::string& directory, const BundleLimits& limits = {});
// A file that grew since the scan is an error, not a longer bundle.
Status send_bundle(const BundleTree& tree, BundleSink& sink);

}  // namespace flodea::cli
