// What was unpacked, as a layer: files that came from several archives, judged, counted, and given
// on one by one. Nothing is kept but names and hashes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/bundle_rules.h"
#include "base/result.h"
#include "base/sha256.h"

namespace flodea::unpacker {

// Of all that is read out of archives, kept or not: what an archive may expand to.
inline constexpr BundleLimits kPackageLimits{.bytes = 256ull << 20, .entries = 20'000};

// Where files go, in order: a file, then its data.
class LayerSink {
 public:
  virtual ~LayerSink() = default;
  virtual Status file(const std::string& path, bool executable) = 0;
  virtual Status data(std::string_view piece) = 0;
};

class Layer {
 public:
  Layer(LayerSink& sink, const BundleLimits& limits) : sink_(sink), limits_(limits) {}

  // Every entry of an archive is counted, also one that is not kept.
  Status count_entry(const std::string& archive);
  // A file that stands there already is read again and must be the same.
  Status begin(const std::string& path, bool executable, const std::string& archive);
  Status append(std::string_view piece);
  Result<std::string> end();  // its SHA-256

  std::uint64_t bytes() const { return bytes_; }
  std::size_t files() const { return files_.size(); }

 private:
  struct File {
    std::string sha256;
    bool executable = false;
    std::string archive;
  };
  Status make_room(const std::string& path, const std::string& archive);

  LayerSink& sink_;
  BundleLimits limits_;
  std::map<std::string, File> files_;
  std::set<std::string> directories_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  // Of the file that is being read:
  std::string path_, archive_;
  bool again_ = false;
  bool executable_ = false;
  Sha256 hash_;
};

}  // namespace flodea::unpacker
