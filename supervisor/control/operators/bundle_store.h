// Bundles: agents' code as it was sent, under bundles/<sha256>/app/, read-only by habit and found
// by content. `bundles/<sha256>` is the lower layer of a sandbox's overlay.
//
// A bundle arrives entry by entry in `.incoming-<random>/` and gets its name by one rename, so that
// no half of one is ever seen. What is written is never followed: parents are opened with openat2
// (BENEATH, NO_SYMLINKS), files made with O_EXCL.
//
// The digest is SHA-256 over the entries sorted by path, one record each:
//   type ('d', 'f', 'l') ' ' mode ("0755", "0644", of links "0777") ' ' content ' ' path '\0'
// content: of a file the hex SHA-256 of its bytes, of a link the hex SHA-256 of its target, of a
// directory "-". So it does not depend on order of arrival, owners, times, or permission bits other
// than "executable".
//
// Threads: a BundleStore may be used from several; one BundleUpload belongs to one thread at a
// time. All of it blocks on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bundle_rules.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/sha256.h"
#include "base/unique_fd.h"

namespace flodea::control {

struct StoredBundle {
  BundleDigest digest;
  std::uint64_t bytes = 0;
  std::uint32_t entries = 0;
  bool existed = false;
};

// A bundle on its way in. Dropped before `finish`, it leaves nothing behind.
class BundleUpload {
 public:
  BundleUpload(BundleUpload&&) noexcept = default;
  BundleUpload& operator=(BundleUpload&&) noexcept = default;
  ~BundleUpload();

  // `naming` is held where a bundle gets its name.
  static Result<BundleUpload> start(UniqueFd bundles, const BundleLimits& limits,
                                    std::shared_ptr<std::mutex> naming);

  // Starts an entry. `mode` is an st_mode: its type, and whether anybody may execute it. `target`
  // is for symlinks alone.
  Status add(const std::string& path, std::uint32_t mode, const std::string& target);
  // More of the file last started.
  Status append(std::string_view data);
  // Syncs, names, publishes. The upload is over, whatever this returns.
  Result<StoredBundle> finish();

 private:
  struct Entry {
    char type = 'd';
    bool executable = false;
    bool implied = false;  // a directory made because something was put in it
    std::string content;   // hex
  };
  struct OpenFile {
    std::string path;
    UniqueFd fd;
    Sha256 hash;
  };

  BundleUpload(const BundleLimits& limits, UniqueFd bundles, std::shared_ptr<std::mutex> naming);
  Status make_tree();
  Status admit(const std::string& path, char type);
  Status make_parents(const std::string& path);
  Status make_directory(const std::string& path, bool implied);
  Status make_symlink(const std::string& path, const std::string& target);
  Status start_file(const std::string& path, bool executable);
  Status close_file();
  Status check_space(std::uint64_t wanted) const;
  Status publish(const BundleDigest& digest, bool& existed);
  BundleDigest digest() const;
  Result<UniqueFd> parent_of(const std::string& path) const;
  void discard();

  BundleLimits limits_;
  UniqueFd bundles_;
  std::shared_ptr<std::mutex> naming_;
  std::string name_;  // of the directory under bundles/; empty once gone or published
  UniqueFd app_;
  std::map<std::string, Entry> entries_;
  std::unique_ptr<OpenFile> file_;
  std::uint64_t bytes_ = 0;
  std::uint64_t unchecked_ = 0;  // bytes written since free space was last looked at
};

class BundleStore {
 public:
  // `bundles`: the state directory's bundles/, writable. Removes what earlier uploads left
  // half-way.
  static Result<std::unique_ptr<BundleStore>> open(UniqueFd bundles, BundleLimits limits = {});

  Result<BundleUpload> receive();
  Result<BundleUpload> receive(const BundleLimits& limits);
  // A regular file of a bundle, for reading.
  Result<UniqueFd> open_file(const BundleDigest& digest, const std::string& file) const;
  // Bytes of all its files.
  Result<std::uint64_t> size(const BundleDigest& digest) const;
  // Condemns it, whoever needs it: one whose content is not what its name says.
  Status drop(const BundleDigest& digest);
  bool has(const BundleDigest& digest) const;
  // A regular file of this bundle? (A link is not: what it leads to may not exist in the sandbox.)
  bool contains(const BundleDigest& digest, const std::string& file) const;
  // NOT_FOUND with field spec.bundle. One look: it walks nothing.
  Status check_stored(const BundleDigest& digest) const;
  // What `apply` asks, and the one place that does. Errors: those of check_stored; INVALID_ARGUMENT
  // with field spec.runtime.entrypoint, what is wrong with it, and the names near it.
  Status check_entrypoint(const BundleDigest& digest, const std::string& entrypoint) const;
  // Takes bundles out of sight that are neither in use nor younger than `grace` (one that was just
  // sent is not applied yet). Returns how many. A few calls each: what takes long is
  // `remove_condemned`.
  Result<std::size_t> condemn_unused(const std::set<BundleDigest>& in_use, Nanos now,
                                     Nanos grace = std::chrono::hours(1));
  Status remove_condemned();  // one thread at a time

 private:
  BundleStore(UniqueFd bundles, BundleLimits limits)
      : bundles_(std::move(bundles)), limits_(limits) {}
  Status sweep(bool (*goes)(std::string_view name));
  Result<bool> condemn(const std::string& name, Nanos cutoff);

  UniqueFd bundles_;
  BundleLimits limits_;
  // Held where a bundle gets or loses its name, so that `collect` takes none that was just sent
  // again.
  std::shared_ptr<std::mutex> naming_ = std::make_shared<std::mutex>();
};

}  // namespace flodea::control
