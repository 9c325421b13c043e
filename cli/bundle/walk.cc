#include "cli/bundle/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "base/quantity.h"
#include "base/safe_path.h"

namespace flodea::cli {
namespace {

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

bool left_out(std::string_view name) {
  return name == "." || name == ".." || name == ".git" || name == "__pycache__";
}

Result<std::vector<std::string>> names_in(int dirfd, std::size_t most) {
  auto fd = TRY(open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, CloseDirectory> dir(::fdopendir(fd.get()));
  if (!dir) return fail_errno("read directory");
  fd.release();  // closedir closes it
  std::vector<std::string> names;
  errno = 0;
  // One more than may be: enough to be refused for.
  while (const dirent* entry = names.size() <= most ? ::readdir(dir.get()) : nullptr) {
    if (!left_out(entry->d_name)) names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return fail_errno("read directory");
  std::ranges::sort(names);
  return names;
}

Result<std::string> link_target(int dirfd, const std::string& name) {
  std::array<char, 4096> target{};
  ssize_t length = ::readlinkat(dirfd, name.c_str(), target.data(), target.size());
  if (length < 0) return fail_errno("read link");
  return std::string(target.data(), static_cast<std::size_t>(length));
}

class Scan {
 public:
  Scan(BundleTree& tree, const BundleLimits& limits) : tree_(tree), limits_(limits) {}

  Status directory(int dirfd, const std::string& prefix) {
    for (const std::string& name : TRY(names_in(dirfd, limits_.entries))) {
      auto added = add(dirfd, name, prefix + name);
      if (!added) return tl::unexpected(std::move(added).error().with_context(tree_.directory));
    }
    return {};
  }

 private:
  Status add(int dirfd, const std::string& name, const std::string& path) {
    struct stat st{};
    if (::fstatat(dirfd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(path);
    TRY(check_bundle_path(path, limits_));
    TRY(check_entry_mode(path, st.st_mode));
    BundleItem item{.path = path, .mode = st.st_mode};
    if (S_ISREG(st.st_mode)) TRY(count_file(item, static_cast<std::uint64_t>(st.st_size)));
    if (S_ISLNK(st.st_mode)) {
      item.target = TRY(link_target(dirfd, name));
      TRY(check_link_target(path, item.target, limits_));
    }
    tree_.items.push_back(std::move(item));
    TRY(check_bundle_totals(tree_.bytes, tree_.items.size(), limits_));
    if (!S_ISDIR(st.st_mode)) return {};
    auto child = TRY(open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return inner(child.get(), path + "/");
  }

  Status inner(int dirfd, const std::string& prefix) {
    for (const std::string& name : TRY(names_in(dirfd, limits_.entries)))
      TRY(add(dirfd, name, prefix + name));
    return {};
  }

  Status count_file(BundleItem& item, std::uint64_t size) {
    item.size = size;
    tree_.bytes += size;
    auto fits = check_bundle_totals(tree_.bytes, 0, limits_);
    if (fits) return {};
    return tl::unexpected(std::move(fits).error().with_context(
        fmt::format("{} ({})", item.path, format_bytes(size))));
  }

  BundleTree& tree_;
  const BundleLimits& limits_;
};

Status send_file(const BundleTree& tree, const BundleItem& item, BundleSink& sink) {
  // O_NONBLOCK: what was a file may have become a pipe since.
  auto fd = TRY(open_beneath(tree.top.get(), item.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(item.path);
  if (!S_ISREG(st.st_mode)) return fail(Code::kAborted, item.path + " changed while it was read");
  std::array<char, kPiece> piece;
  std::uint64_t sent = 0;
  for (;;) {
    ssize_t n = ::read(fd.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read " + item.path);
    sent += static_cast<std::uint64_t>(n);
    if (sent > item.size) return fail(Code::kAborted, item.path + " grew while it was read");
    if (n == 0) return {};
    TRY(sink.data({piece.data(), static_cast<std::size_t>(n)}));
  }
}

}  // namespace

Result<BundleTree> scan_bundle(const std::string& directory, const BundleLimits& limits) {
  BundleTree tree{.directory = directory};
  auto top = adopt_fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                      "open bundle " + directory);
  if (!top)
    return tl::unexpected(std::move(top)
                              .error()
                              .with_field("spec.bundle")
                              .with_remedy("name a directory that you may read"));
  tree.top = std::move(*top);
  TRY(Scan(tree, limits).directory(tree.top.get(), ""));
  if (!tree.items.empty()) return tree;
  return tl::unexpected(fail(Code::kInvalidArgument, "bundle " + directory + " is empty")
                            .value()
                            .with_field("spec.bundle")
                            .with_remedy("put the agent's code there"));
}

Status send_bundle(const BundleTree& tree, BundleSink& sink) {
  for (const BundleItem& item : tree.items) {
    TRY(sink.entry(item));
    if (!S_ISREG(item.mode)) continue;
    auto sent = send_file(tree, item, sink);
    if (!sent) return tl::unexpected(std::move(sent).error().with_context(tree.directory));
  }
  return {};
}

}  // namespace flodea::cli
