#include "supervisor/control/operators/bundle_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "base/quantity.h"
#include "base/safe_path.h"
#include "base/text.h"
#include "supervisor/control/operators/tree.h"

namespace flodea::control {
namespace {

constexpr std::string_view kIncoming = ".incoming-";
constexpr std::string_view kCondemned = ".removing-";

bool is_condemned(std::string_view name) { return name.starts_with(kCondemned); }
bool is_leftover(std::string_view name) {
  return name.starts_with(kIncoming) || is_condemned(name);
}

tl::unexpected<Error> entrypoint_error(std::string message, std::string_view remedy) {
  return tl::unexpected(fail(Code::kInvalidArgument, std::move(message))
                            .value()
                            .with_field("spec.runtime.entrypoint")
                            .with_remedy(remedy));
}

std::string join_quoted(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

// Files the user may have meant: near in spelling, or of the same name elsewhere; else what lies at
// the top.
std::vector<std::string> near_files(const std::string& wanted,
                                    const std::vector<std::string>& files) {
  std::vector<std::string> names = nearest(wanted, files);
  for (const std::string& file : files) {
    bool moved =
        base_name(file) == base_name(wanted) && std::ranges::find(names, file) == names.end();
    if (moved && names.size() < 3) names.push_back(file);
  }
  if (!names.empty()) return names;
  for (const std::string& file : files) {
    if (file.find('/') == std::string::npos && names.size() < 5) names.push_back(file);
  }
  return names;
}

}  // namespace

Result<std::unique_ptr<BundleStore>> BundleStore::open(UniqueFd bundles, BundleLimits limits) {
  std::unique_ptr<BundleStore> store(new BundleStore(std::move(bundles), limits));
  TRY_CONTEXT(store->sweep(is_leftover), "sweep the bundle directory");
  return store;
}

Status BundleStore::sweep(bool (*goes)(std::string_view name)) {
  for (const DirectoryEntry& entry : TRY(list_directory(bundles_.get()))) {
    if (goes(entry.name)) TRY(remove_tree(bundles_.get(), entry.name));
  }
  return {};
}

Result<BundleUpload> BundleStore::receive() { return receive(limits_); }

Result<BundleUpload> BundleStore::receive(const BundleLimits& limits) {
  auto directory = TRY(bundles_.duplicate());
  return BundleUpload::start(std::move(directory), limits, naming_);
}

Result<UniqueFd> BundleStore::open_file(const BundleDigest& digest, const std::string& file) const {
  TRY(check_bundle_path(file, limits_));
  auto fd = TRY(open_beneath(bundles_.get(), digest.hex() + "/app/" + file,
                             O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("fstat " + file);
  if (!S_ISREG(st.st_mode)) return fail(Code::kNotFound, file + " is not a regular file");
  return fd;
}

Result<std::uint64_t> BundleStore::size(const BundleDigest& digest) const {
  auto app = TRY(open_beneath(bundles_.get(), digest.hex() + "/app", O_RDONLY | O_DIRECTORY));
  std::uint64_t bytes = 0;
  for (const std::string& file : TRY(list_files(app.get(), limits_.entries))) {
    struct stat st{};
    if (::fstatat(app.get(), file.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
      bytes += static_cast<std::uint64_t>(st.st_size);
  }
  return bytes;
}

Status BundleStore::drop(const BundleDigest& digest) {
  std::lock_guard lock(*naming_);
  std::string condemned = std::string(kCondemned) + AgentId::random().text();
  if (::renameat(bundles_.get(), digest.hex().c_str(), bundles_.get(), condemned.c_str()) != 0)
    return fail_errno("remove bundle " + digest.hex());
  return {};
}

bool BundleStore::has(const BundleDigest& digest) const {
  return !digest.empty() &&
         open_beneath(bundles_.get(), digest.hex() + "/app", O_PATH | O_DIRECTORY).has_value();
}

bool BundleStore::contains(const BundleDigest& digest, const std::string& file) const {
  if (digest.empty() || !check_bundle_path(file, limits_)) return false;
  auto fd = open_beneath(bundles_.get(), digest.hex() + "/app/" + file, O_PATH | O_NOFOLLOW);
  struct stat st{};
  return fd && ::fstat(fd->get(), &st) == 0 && S_ISREG(st.st_mode);
}

Status BundleStore::check_stored(const BundleDigest& digest) const {
  if (has(digest)) return {};
  return tl::unexpected(
      fail(Code::kNotFound, fmt::format("no bundle {} is stored here", digest.text()))
          .value()
          .with_field("spec.bundle")
          .with_remedy("send it with PutBundle first, as `flodea apply` does"));
}

Status BundleStore::check_entrypoint(const BundleDigest& digest,
                                     const std::string& entrypoint) const {
  TRY(check_stored(digest));
  if (contains(digest, entrypoint)) return {};
  auto app = TRY(open_beneath(bundles_.get(), digest.hex() + "/app", O_RDONLY | O_DIRECTORY));
  struct stat st{};
  if (::fstatat(app.get(), entrypoint.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    return entrypoint_error(fmt::format("entry point \"{}\" is not a regular file", entrypoint),
                            "name a file, not a directory or link");
  }
  auto near = near_files(entrypoint, TRY(list_files(app.get(), limits_.entries)));
  std::string remedy = near.empty() ? "the bundle has no file at its top"
                                    : "did you mean " + join_quoted(near) + "?";
  return entrypoint_error(fmt::format("the bundle has no file \"{}\"", entrypoint), remedy);
}

Result<std::size_t> BundleStore::condemn_unused(const std::set<BundleDigest>& in_use, Nanos now,
                                                Nanos grace) {
  std::size_t condemned = 0;
  for (const DirectoryEntry& entry : TRY(list_directory(bundles_.get()))) {
    auto digest = BundleDigest::from_hex(entry.name);
    if (!digest || in_use.contains(*digest)) continue;
    if (TRY(condemn(entry.name, now - grace))) ++condemned;
  }
  return condemned;
}

Status BundleStore::remove_condemned() { return sweep(is_condemned); }

// Takes a bundle last sent before `cutoff` out of sight, so that a half-removed one is never seen
// as a whole one.
Result<bool> BundleStore::condemn(const std::string& name, Nanos cutoff) {
  std::lock_guard lock(*naming_);
  struct stat st{};
  if (::fstatat(bundles_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (std::chrono::seconds(st.st_mtim.tv_sec) + Nanos(st.st_mtim.tv_nsec) > cutoff) return false;
  std::string condemned = std::string(kCondemned) + name;
  if (::renameat(bundles_.get(), name.c_str(), bundles_.get(), condemned.c_str()) == 0) return true;
  if (errno == ENOTEMPTY || errno == EEXIST) return false;  // an earlier one is still being removed
  return fail_errno("remove bundle " + name);
}

}  // namespace flodea::control
