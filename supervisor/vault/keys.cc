#include "supervisor/vault/keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/safe_path.h"
#include "base/sha256.h"

namespace flodea::vault {
namespace {

constexpr const char* kNodeKeyName = "node.key";
constexpr std::string_view kKeySuffix = ".key";
constexpr std::string_view kKeyMagic = "FLODEAK1";  // format version 1
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kMaxFile = 4096;
constexpr const char* kRestoreRemedy =
    "put back the node key that belongs to this state directory (keys/node.key, from a backup); "
    "without it the volumes cannot be read, and their agents have to be removed and applied anew";

enum Purpose : int { kVolume = 1, kLog = 2 };

template <std::size_t N>
constexpr std::size_t kWrapped = kNonce + N + kTag;

tl::unexpected<Error> wrong_node_key(const std::string& detail) {
  return tl::unexpected(Error{.code = Code::kDataLoss,
                              .message = "wrong node key: keys/node.key does not open " + detail}
                            .with_remedy(kRestoreRemedy));
}

std::string associated_data(Purpose purpose, const AgentId& agent) {
  return "flodea key v1 " + std::string(purpose == kVolume ? "volume " : "log ") + agent.text();
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

template <std::size_t N>
std::string wrap(const NodeKey& node, Purpose purpose, const AgentId& agent, const Secret<N>& key) {
  std::string out(kWrapped<N>, '\0');
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  std::string data = associated_data(purpose, agent);
  ::randombytes_buf(to, kNonce);
  ::crypto_aead_xchacha20poly1305_ietf_encrypt(to + kNonce, nullptr, key.raw(), N, bytes_of(data),
                                               data.size(), nullptr, to, node.raw());
  return out;
}

template <std::size_t N>
Result<Secret<N>> unwrap(const NodeKey& node, Purpose purpose, const AgentId& agent,
                         std::string_view wrapped) {
  auto key = TRY(Secret<N>::zeroed());
  std::string data = associated_data(purpose, agent);
  const unsigned char* from = bytes_of(wrapped);
  if (wrapped.size() != kWrapped<N> || ::crypto_aead_xchacha20poly1305_ietf_decrypt(
                                           key.raw(), nullptr, nullptr, from + kNonce, N + kTag,
                                           bytes_of(data), data.size(), from, node.raw()) != 0)
    return wrong_node_key("the keys of agent " + agent.text() + ", or keys/" + agent.text() +
                          ".key is damaged");
  return key;
}

Result<std::vector<AgentId>> list_agents(int dir) {
  auto fd = TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
  if (!stream) return fail_errno("list keys");
  fd.release();
  std::vector<AgentId> agents;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string_view name = entry->d_name;
    if (!name.ends_with(kKeySuffix)) continue;
    if (auto agent = AgentId::parse(name.substr(0, name.size() - kKeySuffix.size())))
      agents.push_back(std::move(*agent));
  }
  return agents;
}

Result<NodeKey> read_node_key(int dir) {
  auto fd = TRY(open_beneath(dir, kNodeKeyName, O_RDONLY));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat keys/node.key");
  auto key = TRY(NodeKey::zeroed());
  if (st.st_size != static_cast<off_t>(NodeKey::kSize) ||
      ::read(fd.get(), key.raw(), NodeKey::kSize) != static_cast<ssize_t>(NodeKey::kSize))
    return fail(Code::kFailedPrecondition,
                "keys/node.key has " + std::to_string(st.st_size) + " bytes, not 32");
  return key;
}

Result<NodeKey> make_node_key(int dir) {
  auto key = TRY(NodeKey::random());
  TRY_CONTEXT(replace_file(dir, kNodeKeyName,
                           {reinterpret_cast<const char*>(key.raw()), NodeKey::kSize}, 0400),
              "make the node key");
  return key;
}

Result<NodeKey> obtain_node_key(int dir, bool wrapped_keys_exist) {
  auto key = read_node_key(dir);
  if (key || key.error().code != Code::kNotFound) {
    if (!key) return tl::unexpected(std::move(key).error().with_remedy(kRestoreRemedy));
    return key;
  }
  if (!wrapped_keys_exist) return make_node_key(dir);
  return tl::unexpected(
      Error{.code = Code::kFailedPrecondition,
            .message = "keys/node.key is missing, but there are keys that it wraps"}
          .with_remedy(kRestoreRemedy));
}

void append_slot(std::string& out, Purpose purpose, const std::string& wrapped) {
  if (wrapped.empty()) return;
  out.push_back(static_cast<char>(purpose));
  out.push_back(static_cast<char>(wrapped.size()));
  out += wrapped;
}

// The blocks are overwritten in place first: the name's removal alone would leave the wrapped key
// on the disk.
Status shred(int dir, const std::string& name) {
  auto fd = TRY(open_beneath(dir, name, O_WRONLY));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat keys/" + name);
  TRY(write_all(fd.get(), std::string(static_cast<std::size_t>(st.st_size), '\0')));
  if (::fsync(fd.get()) != 0) return fail_errno("fsync keys/" + name);
  if (::unlinkat(dir, name.c_str(), 0) != 0) return fail_errno("unlink keys/" + name);
  auto self = TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  if (::fsync(self.get()) != 0) return fail_errno("fsync keys");
  return {};
}

std::string file_name(const AgentId& agent) { return agent.text() + std::string(kKeySuffix); }

}  // namespace

struct KeyStore::KeyFile {
  std::string volume;  // nonce, sealed key, tag; empty: none
  std::string log;

  std::string encode() const {
    std::string out(kKeyMagic);
    append_slot(out, kVolume, volume);
    append_slot(out, kLog, log);
    return out;
  }

  static Result<KeyFile> decode(std::string_view data) {
    if (!data.starts_with(kKeyMagic)) return fail(Code::kDataLoss, "not a key file");
    data.remove_prefix(kKeyMagic.size());
    KeyFile file;
    while (data.size() >= 2) {
      std::size_t size = static_cast<unsigned char>(data[1]);
      if (data.size() < 2 + size) return fail(Code::kDataLoss, "truncated key file");
      (data[0] == kVolume ? file.volume : file.log) = data.substr(2, size);
      data.remove_prefix(2 + size);
    }
    if (!data.empty()) return fail(Code::kDataLoss, "truncated key file");
    return file;
  }
};

Result<KeyStore> KeyStore::open(UniqueFd keys_dir) {
  auto agents = TRY(list_agents(keys_dir.get()));
  auto node_key = TRY(obtain_node_key(keys_dir.get(), !agents.empty()));
  KeyStore store(std::move(keys_dir), std::move(node_key));
  store.files_ = agents.size();
  TRY(store.check_node_key());
  return store;
}

// One wrapped key that opens proves the node key; a damaged file beside it is that agent's trouble
// alone.
Status KeyStore::check_node_key() {
  bool any = false;
  for (const AgentId& agent : TRY(list_agents(dir_.get()))) {
    auto file = load(agent);
    if (!file || !*file) continue;
    const KeyFile& keys = **file;
    any = true;
    bool opens = !keys.volume.empty()
                     ? unwrap<64>(node_key_, kVolume, agent, keys.volume).has_value()
                     : unwrap<32>(node_key_, kLog, agent, keys.log).has_value();
    if (opens) return {};
  }
  wrong_node_key_ = any;
  return {};
}

Status KeyStore::require_right_key() const {
  if (wrong_node_key_) return wrong_node_key("any of the wrapped keys");
  return {};
}

Result<std::optional<KeyStore::KeyFile>> KeyStore::load(const AgentId& agent) const {
  auto data = read_file(dir_.get(), file_name(agent), kMaxFile);
  if (!data && data.error().code == Code::kNotFound) return std::nullopt;
  if (!data) return tl::unexpected(std::move(data).error());
  return TRY_CONTEXT(KeyFile::decode(*data), "keys/" + file_name(agent));
}

Status KeyStore::store(const AgentId& agent, const KeyFile& file, bool is_new) {
  if (is_new && files_ >= kMaxKeyFiles)
    return fail(Code::kResourceExhausted, "there are keys of 65,536 agents already");
  TRY(replace_file(dir_.get(), file_name(agent), file.encode(), 0600));
  files_ += is_new ? 1 : 0;
  return {};
}

template <std::size_t N>
Result<Secret<N>> KeyStore::make(const AgentId& agent, std::string KeyFile::* slot, int purpose) {
  TRY(require_right_key());
  auto loaded = TRY(load(agent));
  bool is_new = !loaded.has_value();
  KeyFile file = is_new ? KeyFile{} : std::move(*loaded);
  if (!(file.*slot).empty())
    return unwrap<N>(node_key_, static_cast<Purpose>(purpose), agent, file.*slot);
  auto key = TRY(Secret<N>::random());
  file.*slot = wrap(node_key_, static_cast<Purpose>(purpose), agent, key);
  TRY_CONTEXT(store(agent, file, is_new), "store the keys of agent " + agent.text());
  return key;
}

Result<VolumeKey> KeyStore::make_volume_key(const AgentId& agent) {
  return make<64>(agent, &KeyFile::volume, kVolume);
}
Result<LogKey> KeyStore::make_log_key(const AgentId& agent) {
  return make<32>(agent, &KeyFile::log, kLog);
}

Result<LogKey> KeyStore::code_key() const {
  constexpr std::string_view kPurpose = "flodea code key 1";
  TRY(require_right_key());
  auto key = TRY(LogKey::zeroed());
  if (::crypto_generichash(key.raw(), LogKey::kSize, bytes_of(kPurpose), kPurpose.size(),
                           node_key_.raw(), NodeKey::kSize) != 0)
    return fail(Code::kInternal, "the code key cannot be derived");
  return key;
}

Result<VolumeKey> KeyStore::volume_key(const AgentId& agent) const {
  TRY(require_right_key());
  auto file = TRY(load(agent));
  if (!file || file->volume.empty())
    return fail(Code::kNotFound, "agent " + agent.text() + " has no volume key");
  return unwrap<64>(node_key_, kVolume, agent, file->volume);
}

Result<std::optional<std::string>> KeyStore::destroy(const AgentId& agent) {
  auto file = load(agent);
  if (file && !*file) return std::nullopt;
  // A damaged file is destroyed all the same; its digest cannot be told.
  std::string digest = file && !(*file)->volume.empty() ? sha256_hex((*file)->volume) : "";
  TRY_CONTEXT(shred(dir_.get(), file_name(agent)), "destroy the keys of agent " + agent.text());
  files_ -= files_ > 0 ? 1 : 0;
  return digest;
}

}  // namespace flodea::vault
