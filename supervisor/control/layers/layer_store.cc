#include "supervisor/control/layers/layer_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <gnu/libc-version.h>

#include "base/safe_path.h"
#include "base/sha256.h"
#include "supervisor/control/operators/tree.h"

namespace flodea::control {
namespace {

constexpr const char* kIndex = ".layers";
constexpr std::string_view kNoMac = "-";
constexpr std::size_t kEntryLimit = 1 << 20;
constexpr std::size_t kReadSize = 256 << 10;
constexpr std::size_t kMacBytes = 32;

// Each word with its length, so that no two recipes give the same text.
std::string text_of(const LayerRecipe& recipe) {
  std::string text;
  auto add = [&text](std::string_view word) { text += fmt::format("{}:{} ", word.size(), word); };
  for (std::string_view word : {std::string_view(recipe.program), std::string_view(recipe.output),
                                std::string_view(recipe.version)})
    add(word);
  for (const std::string& word : recipe.arguments) add(word);
  return text;
}

template <class Take>
Status read_blocks(int file, Take take) {
  std::string block(kReadSize, '\0');
  for (off_t at = 0;;) {
    ssize_t n = ::pread(file, block.data(), block.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read");
    if (n == 0) return {};
    take(std::string_view(block.data(), static_cast<std::size_t>(n)));
    at += n;
  }
}

std::string hex_of(const std::array<unsigned char, kMacBytes>& bytes) {
  std::string hex(2 * kMacBytes + 1, '\0');
  ::sodium_bin2hex(hex.data(), hex.size(), bytes.data(), bytes.size());
  hex.pop_back();
  return hex;
}

bool same_mac(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

FileIdentity identity_of(const struct stat& st) {
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<std::uint64_t>(st.st_size),
          .changed_ns = st.st_ctim.tv_sec * 1'000'000'000LL + st.st_ctim.tv_nsec};
}

}  // namespace

struct LayerStore::Entry {
  BundleDigest layer;
  std::string mac;
  std::set<BundleDigest> bundles;  // that need it

  std::string text() const {
    std::string out = fmt::format("layer {}\nmac {}\n", layer.hex(), mac);
    for (const BundleDigest& bundle : bundles) out += fmt::format("bundle {}\n", bundle.hex());
    return out;
  }

  static std::optional<Entry> parse(std::string_view text) {
    Entry entry;
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      std::string_view word = line.substr(0, line.find(' '));
      std::string_view value = line.substr(std::min(line.size(), word.size() + 1));
      auto digest = BundleDigest::from_hex(value);
      if (word == "layer" && digest)
        entry.layer = *digest;
      else if (word == "bundle" && digest)
        entry.bundles.insert(*digest);
      else if (word == "mac" && (value == kNoMac || value.size() == 2 * kMacBytes))
        entry.mac = value;
      else
        return std::nullopt;
    }
    if (entry.layer.empty() || entry.mac.empty()) return std::nullopt;
    return entry;
  }
};

Result<std::unique_ptr<LayerStore>> LayerStore::open(BundleStore& bundles, UniqueFd bundles_dir,
                                                     TreeReader read_tree) {
  TRY(make_dir(bundles_dir.get(), kIndex, 0700));
  auto index = TRY(open_beneath(bundles_dir.get(), kIndex, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<LayerStore>(
      new LayerStore(bundles, std::move(index), std::move(read_tree)));
}

Result<std::uint64_t> LayerStore::input_size(const BundleDigest& bundle,
                                             const LayerRecipe& recipe) const {
  if (recipe.input.empty()) return bundles_.size(bundle);
  auto input = TRY(bundles_.open_file(bundle, recipe.input));
  struct stat st{};
  if (::fstat(input.get(), &st) != 0) return fail_errno("fstat " + recipe.input);
  return static_cast<std::uint64_t>(st.st_size);
}

Result<std::string> LayerStore::key_of(const BundleDigest& bundle,
                                       const LayerRecipe& recipe) const {
  Sha256 key;
  key.update("flodea layer 1 ");
  key.update(text_of(recipe));
  if (recipe.input.empty()) {
    key.update(" bundle " + bundle.hex());
    return key.finish();
  }
  auto input = TRY(bundles_.open_file(bundle, recipe.input));
  Sha256 content;
  TRY_CONTEXT(read_blocks(input.get(), [&](std::string_view block) { content.update(block); }),
              recipe.input);
  key.update(" input " + content.finish());
  return key.finish();
}

std::optional<LayerStore::Entry> LayerStore::read_entry(const std::string& key) const {
  auto text = read_file(index_.get(), key, kEntryLimit);
  return text ? Entry::parse(*text) : std::nullopt;
}

Status LayerStore::write_entry(const std::string& key, const Entry& entry) const {
  return replace_file(index_.get(), key, entry.text(), 0600);
}

namespace {

// BLAKE2b-256, keyed, over a layer's key and its one file.
class Mac {
 public:
  Mac(const std::string& key, const CodeKey& code_key) {
    ::crypto_generichash_init(&state_, code_key.data(), code_key.size(), kMacBytes);
    add("flodea layer 1 " + key + " ");
  }
  ~Mac() { ::sodium_memzero(&state_, sizeof state_); }
  Mac(const Mac&) = delete;
  Mac& operator=(const Mac&) = delete;

  void add(std::string_view data) {
    ::crypto_generichash_update(&state_, reinterpret_cast<const unsigned char*>(data.data()),
                                data.size());
  }
  std::string finish() {
    std::array<unsigned char, kMacBytes> mac;
    ::crypto_generichash_final(&state_, mac.data(), mac.size());
    return hex_of(mac);
  }

 private:
  crypto_generichash_state state_;
};

Result<FileIdentity> identify(int file) {
  struct stat st{};
  if (::fstat(file, &st) != 0) return fail_errno("fstat a layer's file");
  return identity_of(st);
}

}  // namespace

// Of what is on the disk: nothing where the file is gone, or changed while it was read.
std::optional<LayerStore::Seen> LayerStore::see(const BundleDigest& digest,
                                                const LayerRecipe& recipe, const std::string& key,
                                                const CodeKey& code_key) const {
  auto file = bundles_.open_file(digest, recipe.output);
  if (!file) return std::nullopt;
  auto before = identify(file->get());
  Mac mac(key, code_key);
  Status read = read_blocks(file->get(), [&](std::string_view block) { mac.add(block); });
  auto after = identify(file->get());
  if (!before || !read || !after || *before != *after) return std::nullopt;
  return Seen{.identity = *before, .mac = mac.finish()};
}

Result<LookedUp> LayerStore::look_up(const BundleDigest& bundle, const LayerRecipe& recipe,
                                     const CodeKey& code_key) {
  std::string key = TRY(key_of(bundle, recipe));
  LookedUp found{.layer = {}, .input_bytes = TRY(input_size(bundle, recipe)), .damage = ""};
  auto entry = read_entry(key);
  if (!entry || !bundles_.has(entry->layer)) return found;
  Layer layer{.bundle = bundle, .digest = entry->layer, .output = recipe.output, .identity = {}};
  if (!recipe.output.empty()) {
    auto seen = see(entry->layer, recipe, key, code_key);
    if (!seen || !same_mac(seen->mac, entry->mac)) {
      TRY(bundles_.drop(entry->layer));
      found.damage =
          fmt::format("the {} that was kept for {} of bundle {} is not what Flodea wrote",
                      recipe.output, recipe.input, bundle.text());
      return found;
    }
    layer.identity = seen->identity;
  }
  // Written each time: its age counts from now, so that `collect` leaves it until it is applied.
  entry->bundles.insert(bundle);
  TRY(write_entry(key, *entry));
  found.layer = std::move(layer);
  return found;
}

Result<BundleDigest> LayerStore::upload(const LayerRecipe& recipe, std::string_view output) {
  auto upload = TRY(bundles_.receive({.bytes = recipe.output_bytes, .entries = kMaxLayerEntries}));
  if (recipe.output.empty()) {
    TRY(read_tree_(output, upload));
  } else {
    TRY(upload.add(recipe.output, S_IFREG | 0644, ""));
    TRY(upload.append(output));
  }
  return TRY(upload.finish()).digest;
}

// The MAC is of what the program wrote; never of what is found on the disk, which may have been
// there under that name before.
Result<Layer> LayerStore::store(const BundleDigest& bundle, const LayerRecipe& recipe,
                                const CodeKey& code_key, std::string_view output) {
  std::string key = TRY(key_of(bundle, recipe));
  Layer layer{.bundle = bundle,
              .digest = TRY(upload(recipe, output)),
              .output = recipe.output,
              .identity = {}};
  Entry entry{.layer = layer.digest, .mac = std::string(kNoMac), .bundles = {bundle}};
  if (!recipe.output.empty()) {
    Mac mac(key, code_key);
    mac.add(output);
    entry.mac = mac.finish();
    auto seen = see(layer.digest, recipe, key, code_key);
    if (!seen || !same_mac(seen->mac, entry.mac)) {  // another's file stood in its place
      TRY(bundles_.drop(layer.digest));
      TRY(upload(recipe, output));
      seen = see(layer.digest, recipe, key, code_key);
    }
    if (!seen || !same_mac(seen->mac, entry.mac))
      return fail(Code::kDataLoss, recipe.output + " does not stay what Flodea writes");
    layer.identity = seen->identity;
  }
  // Others that found nothing at the same time, or were there before it was damaged.
  if (auto old = read_entry(key); old && old->layer == entry.layer)
    entry.bundles.merge(old->bundles);
  TRY(write_entry(key, entry));
  return layer;
}

bool LayerStore::unchanged(const Layer& layer) const {
  if (layer.output.empty()) return bundles_.has(layer.digest);
  auto file = bundles_.open_file(layer.digest, layer.output);
  struct stat st{};
  return file && ::fstat(file->get(), &st) == 0 && identity_of(st) == layer.identity;
}

Result<std::set<BundleDigest>> LayerStore::collect(const std::set<BundleDigest>& in_use, Nanos now,
                                                   Nanos grace) {
  std::set<BundleDigest> needed;
  for (const DirectoryEntry& file : TRY(list_directory(index_.get()))) {
    auto entry = read_entry(file.name);
    struct stat st{};
    bool young = ::fstatat(index_.get(), file.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                 std::chrono::seconds(st.st_mtim.tv_sec) > now - grace;
    bool wanted = entry && std::ranges::any_of(entry->bundles, [&](const BundleDigest& bundle) {
                    return in_use.contains(bundle);
                  });
    if (entry && (young || wanted))
      needed.insert(entry->layer);
    else if (!young && ::unlinkat(index_.get(), file.name.c_str(), 0) != 0)
      return fail_errno("forget a layer");
  }
  return needed;
}

}  // namespace flodea::control
