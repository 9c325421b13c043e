#include "supervisor/control/operators/bundle_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "base/quantity.h"
#include "base/safe_path.h"
#include "base/text.h"
#include "supervisor/control/operators/tree.h"

namespace flodea::control {
namespace {

constexpr std::string_view kIncoming = ".incoming-";
constexpr std::string_view kCondemned = ".removing-";

bool is_leftover(std::string_view name) {
  return name.starts_with(kIncoming) || name.starts_with(kCondemned);
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
  TRY_CONTEXT(store->sweep(), "sweep the bundle directory");
  return store;
}

Status BundleStore::sweep() {
  for (const DirectoryEntry& entry : TRY(list_directory(bundles_.get()))) {
    if (is_leftover(entry.name)) TRY(remove_tree(bundles_.get(), entry.name));
  }
  return {};
}

Result<BundleUpload> BundleStore::receive() {
  auto directory = TRY(bundles_.duplicate());
  return BundleUpload::start(std::move(directory), limits_, naming_);
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

Status BundleStore::check_entrypoint(const BundleDigest& digest,
                                     const std::string& entrypoint) const {
  auto app = open_beneath(bundles_.get(), digest.hex() + "/app", O_RDONLY | O_DIRECTORY);
  if (digest.empty() || !app) {
    return tl::unexpected(
        fail(Code::kNotFound, fmt::format("no bundle {} is stored here", digest.text()))
            .value()
            .with_field("spec.bundle")
            .with_remedy("send it with PutBundle first, as `flodea apply` does"));
  }
  if (contains(digest, entrypoint)) return {};
  struct stat st{};
  if (::fstatat(app->get(), entrypoint.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    return entrypoint_error(fmt::format("entry point \"{}\" is not a regular file", entrypoint),
                            "name a file, not a directory or link");
  }
  auto near = near_files(entrypoint, TRY(list_files(app->get(), limits_.entries)));
  std::string remedy = near.empty() ? "the bundle has no file at its top"
                                    : "did you mean " + join_quoted(near) + "?";
  return entrypoint_error(fmt::format("the bundle has no file \"{}\"", entrypoint), remedy);
}

Result<std::size_t> BundleStore::collect(const std::set<BundleDigest>& in_use, Nanos now,
                                         Nanos grace) {
  std::size_t removed = 0;
  for (const DirectoryEntry& entry : TRY(list_directory(bundles_.get()))) {
    auto digest = BundleDigest::from_hex(entry.name);
    if (!digest || in_use.contains(*digest) || !TRY(condemn(entry.name, now - grace))) continue;
    TRY(remove_tree(bundles_.get(), std::string(kCondemned) + entry.name));
    ++removed;
  }
  return removed;
}

// Takes a bundle last sent before `cutoff` out of sight, so that a half-removed one is never seen
// as a whole one.
Result<bool> BundleStore::condemn(const std::string& name, Nanos cutoff) {
  std::lock_guard lock(*naming_);
  struct stat st{};
  if (::fstatat(bundles_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (std::chrono::seconds(st.st_mtim.tv_sec) + Nanos(st.st_mtim.tv_nsec) > cutoff) return false;
  std::string condemned = std::string(kCondemned) + name;
  TRY(remove_tree(bundles_.get(), condemned));
  if (::renameat(bundles_.get(), name.c_str(), bundles_.get(), condemned.c_str()) != 0)
    return fail_errno("remove bundle " + name);
  return true;
}

}  // namespace flodea::control
