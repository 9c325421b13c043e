// Layers on disk: what Flodea made of agents' bundles (machine code of their modules, their
// packages unpacked), as bundles of its own, and the index by which they are found again:
//
//   bundles/.layers/<key>   "layer <digest>\nmac <64 hex or ->\nbundle <digest>\n…"
//
// The key is SHA-256 over the recipe (with the version of what will use the layer: of machine code
// that is engine, settings and the processor's features) and the SHA-256 of the input: so agents
// with the same input share a layer, and another engine makes its own. A layer of one output file
// is authenticated: its MAC, keyed by the vault (so that who can write this directory cannot make
// one), is BLAKE2b-256 over key and content, checked whenever the layer is looked up. Who can write
// here while a control runs is that control's user, and could as well be it. Index entries are
// replaced as a whole; one that cannot be read counts as none.
//
// Blocks on the disk; one thread at a time, but `unchanged`, which any may call.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "runtimes/runtime.h"
#include "supervisor/control/operators/bundle_store.h"

namespace flodea::control {

inline constexpr std::uint32_t kMaxLayerEntries = 20'000;

using CodeKey = std::array<unsigned char, 32>;

// A file as stat(2) tells it from another or a changed one.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

struct Layer {
  BundleDigest bundle;  // that it was asked for
  BundleDigest digest;
  std::string output;     // the file that was authenticated; empty: none
  FileIdentity identity;  // of it
};

struct LookedUp {
  std::optional<Layer> layer;
  std::uint64_t input_bytes = 0;  // that its job reads: the input, or the whole bundle
  std::string damage;             // what was there is not what Flodea wrote; it is gone now
};

// What of a program's output is kept. The entries of a tree are read by `TreeReader`.
using TreeReader = std::function<Status(std::string_view output, BundleUpload& upload)>;

class LayerStore {
 public:
  // Makes the index where there is none.
  static Result<std::unique_ptr<LayerStore>> open(BundleStore& bundles, UniqueFd bundles_dir,
                                                  TreeReader read_tree);

  Result<LookedUp> look_up(const BundleDigest& bundle, const LayerRecipe& recipe,
                           const CodeKey& code_key);
  Result<Layer> store(const BundleDigest& bundle, const LayerRecipe& recipe,
                      const CodeKey& code_key, std::string_view output);
  // It is there, as it was when it was looked up: no content is read.
  bool unchanged(const Layer& layer) const;

  // The layers that `in_use` or entries younger than `grace` still need; forgets the others.
  Result<std::set<BundleDigest>> collect(const std::set<BundleDigest>& in_use, Nanos now,
                                         Nanos grace = std::chrono::hours(1));

 private:
  struct Entry;
  LayerStore(BundleStore& bundles, UniqueFd index, TreeReader read_tree)
      : bundles_(bundles), index_(std::move(index)), read_tree_(std::move(read_tree)) {}
  Result<std::uint64_t> input_size(const BundleDigest& bundle, const LayerRecipe& recipe) const;
  Result<std::string> key_of(const BundleDigest& bundle, const LayerRecipe& recipe) const;
  std::optional<Entry> read_entry(const std::string& key) const;
  Status write_entry(const std::string& key, const Entry& entry) const;
  struct Seen {
    FileIdentity identity;
    std::string mac;
  };
  std::optional<Seen> see(const BundleDigest& digest, const LayerRecipe& recipe,
                          const std::string& key, const CodeKey& code_key) const;
  Result<BundleDigest> upload(const LayerRecipe& recipe, std::string_view output);

  BundleStore& bundles_;
  UniqueFd index_;
  TreeReader read_tree_;
};

}  // namespace flodea::control
