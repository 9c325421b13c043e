#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/quantity.h"
#include "base/safe_path.h"
#include "supervisor/control/operators/bundle_store.h"
#include "supervisor/control/operators/tree.h"

namespace flodea::control {
namespace {

constexpr std::uint64_t kSpaceCheckEvery = 1ull << 20;

tl::unexpected<Error> refuse_entry(const std::string& path, std::string_view what) {
  return tl::unexpected(
      fail(Code::kInvalidArgument, fmt::format("bundle entry \"{}\" {}", path, what))
          .value()
          .with_field("spec.bundle"));
}

std::string_view type_word(char type) {
  return type == 'd' ? "a directory" : type == 'l' ? "a link" : "a file";
}

}  // namespace

BundleUpload::BundleUpload(const BundleLimits& limits, UniqueFd bundles,
                           std::shared_ptr<std::mutex> naming)
    : limits_(limits),
      bundles_(std::move(bundles)),
      naming_(std::move(naming)),
      name_(".incoming-" + AgentId::random().text()) {}

Result<BundleUpload> BundleUpload::start(UniqueFd bundles, const BundleLimits& limits,
                                         std::shared_ptr<std::mutex> naming) {
  BundleUpload upload(limits, std::move(bundles), std::move(naming));
  TRY_CONTEXT(upload.make_tree(), "receive a bundle");
  return upload;
}

BundleUpload::~BundleUpload() { discard(); }

void BundleUpload::discard() {
  file_.reset();
  app_.reset();
  // What cannot be removed now goes at the next start.
  if (bundles_ && !name_.empty()) (void)remove_tree(bundles_.get(), name_);
  name_.clear();
}

Status BundleUpload::make_tree() {
  TRY(check_space(0));
  if (::mkdirat(bundles_.get(), name_.c_str(), 0755) != 0) return fail_errno("make " + name_);
  if (::mkdirat(bundles_.get(), (name_ + "/app").c_str(), 0755) != 0)
    return fail_errno("make " + name_ + "/app");
  app_ = TRY(open_beneath(bundles_.get(), name_ + "/app", O_RDONLY | O_DIRECTORY));
  // mkdir obeyed the umask; a bundle's modes do not.
  auto top = TRY(open_beneath(bundles_.get(), name_, O_RDONLY | O_DIRECTORY));
  if (::fchmod(top.get(), 0755) != 0 || ::fchmod(app_.get(), 0755) != 0)
    return fail_errno("chmod " + name_);
  return {};
}

Status BundleUpload::check_space(std::uint64_t wanted) const {
  struct statvfs fs{};
  if (::fstatvfs(bundles_.get(), &fs) != 0) return fail_errno("look at free disk");
  std::uint64_t free = static_cast<std::uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (free >= wanted + limits_.reserve) return {};
  return tl::unexpected(
      fail(Code::kResourceExhausted,
           fmt::format("the disk of the state directory has {} free; {} more of this bundle and {} "
                       "in reserve do not fit",
                       format_bytes(free), format_bytes(wanted), format_bytes(limits_.reserve)))
          .value()
          .with_field("spec.bundle")
          .with_remedy("free some disk, or remove agents that are no longer needed"));
}

Status BundleUpload::add(const std::string& path, std::uint32_t mode, const std::string& target) {
  TRY(close_file());
  TRY(check_bundle_path(path, limits_));
  TRY(check_entry_mode(path, mode));
  TRY(check_bundle_totals(bytes_, entries_.size() + 1, limits_));
  TRY(make_parents(path));
  if (S_ISDIR(mode)) return make_directory(path, false);
  if (S_ISLNK(mode)) return make_symlink(path, target);
  return start_file(path, (mode & 0111) != 0);
}

// A name may come once; a directory that others implied may still come itself.
Status BundleUpload::admit(const std::string& path, char type) {
  auto it = entries_.find(path);
  if (it == entries_.end()) return check_bundle_totals(bytes_, entries_.size() + 1, limits_);
  if (it->second.type == type) return refuse_entry(path, "comes twice");
  return refuse_entry(
      path, fmt::format("comes as {} and as {}", type_word(it->second.type), type_word(type)));
}

Status BundleUpload::make_parents(const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    std::string parent = path.substr(0, slash);
    auto it = entries_.find(parent);
    if (it == entries_.end()) {
      TRY(make_directory(parent, true));
    } else if (it->second.type != 'd') {
      return refuse_entry(
          path, fmt::format("lies under \"{}\", which is {}", parent, type_word(it->second.type)));
    }
  }
  return {};
}

Result<UniqueFd> BundleUpload::parent_of(const std::string& path) const {
  std::string parent(parent_path(path));
  return open_beneath(app_.get(), parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
}

Status BundleUpload::make_directory(const std::string& path, bool implied) {
  auto it = entries_.find(path);
  if (it != entries_.end() && it->second.type == 'd' && it->second.implied && !implied) {
    it->second.implied = false;
    return {};
  }
  TRY(admit(path, 'd'));
  auto parent = TRY(parent_of(path));
  std::string name(base_name(path));
  if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) return fail_errno("make directory " + path);
  auto made = TRY(open_beneath(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchmod(made.get(), 0755) != 0) return fail_errno("chmod " + path);
  entries_[path] = Entry{.type = 'd', .executable = true, .implied = implied, .content = "-"};
  return {};
}

Status BundleUpload::make_symlink(const std::string& path, const std::string& target) {
  TRY(admit(path, 'l'));
  TRY(check_link_target(path, target, limits_));
  auto parent = TRY(parent_of(path));
  if (::symlinkat(target.c_str(), parent.get(), std::string(base_name(path)).c_str()) != 0)
    return fail_errno("link " + path);
  entries_[path] = Entry{.type = 'l', .content = sha256_hex(target)};
  return {};
}

Status BundleUpload::start_file(const std::string& path, bool executable) {
  TRY(admit(path, 'f'));
  auto parent = TRY(parent_of(path));
  mode_t mode = executable ? 0755 : 0644;
  auto fd = TRY(open_beneath(parent.get(), std::string(base_name(path)),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("chmod " + path);
  entries_[path] = Entry{.type = 'f', .executable = executable};
  file_ = std::make_unique<OpenFile>(OpenFile{.path = path, .fd = std::move(fd)});
  return {};
}

Status BundleUpload::append(std::string_view data) {
  if (!file_) return fail(Code::kInvalidArgument, "bundle data came before a file to put it in");
  TRY(check_bundle_totals(bytes_ + data.size(), entries_.size(), limits_));
  unchecked_ += data.size();
  if (unchecked_ >= kSpaceCheckEvery || bytes_ == 0) {
    TRY(check_space(data.size()));
    unchecked_ = 0;
  }
  auto written = write_all(file_->fd.get(), data);
  if (!written)
    return tl::unexpected(std::move(written).error().with_context("store " + file_->path));
  file_->hash.update(data);
  bytes_ += data.size();
  return {};
}

Status BundleUpload::close_file() {
  if (!file_) return {};
  entries_[file_->path].content = file_->hash.finish();
  file_.reset();
  return {};
}

BundleDigest BundleUpload::digest() const {
  Sha256 hash;
  for (const auto& [path, entry] : entries_) {
    std::string_view mode = entry.type == 'l' ? "0777" : entry.executable ? "0755" : "0644";
    hash.update(fmt::format("{} {} {} {}", entry.type, mode, entry.content, path));
    hash.update(std::string_view("\0", 1));
  }
  return *BundleDigest::from_hex(hash.finish());
}

Result<StoredBundle> BundleUpload::finish() {
  TRY(close_file());
  if (entries_.empty()) return refuse_entry("", "is all there is: the bundle is empty");
  StoredBundle stored{
      .digest = digest(), .bytes = bytes_, .entries = static_cast<std::uint32_t>(entries_.size())};
  auto published = publish(stored.digest, stored.existed);
  if (!published || stored.existed) discard();
  if (!published)
    return tl::unexpected(std::move(published).error().with_context("store the bundle"));
  name_.clear();
  return stored;
}

Status BundleUpload::publish(const BundleDigest& digest, bool& existed) {
  const std::string& final_name = digest.hex();
  struct stat st{};
  // One call for up to 10,000 files; an fsync each would take seconds.
  if (::syncfs(app_.get()) != 0) return fail_errno("sync");
  std::lock_guard lock(*naming_);
  existed = ::fstatat(bundles_.get(), final_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!existed && ::renameat2(bundles_.get(), name_.c_str(), bundles_.get(), final_name.c_str(),
                              RENAME_NOREPLACE) != 0) {
    return fail_errno("rename to " + final_name);
  }
  // Its age counts from now: `collect` leaves it in peace until it is applied.
  if (::utimensat(bundles_.get(), final_name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("touch " + final_name);
  if (::fsync(bundles_.get()) != 0) return fail_errno("sync the bundle directory");
  return {};
}

}  // namespace flodea::control
