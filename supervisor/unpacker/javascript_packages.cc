#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/safe_path.h"
#include "base/text.h"
#include "supervisor/unpacker/archive.h"
#include "supervisor/unpacker/hashes.h"
#include "supervisor/unpacker/javascript_lock.h"
#include "supervisor/unpacker/packages.h"
#include "supervisor/unpacker/refusal.h"

namespace flodea::unpacker {
namespace {

constexpr std::string_view kGetTarballs =
    "`npm pack NAME@VERSION` makes it; put it into the bundle's tarballs/";

class Tarball {
 public:
  Tarball(const LockedPackage& package, std::string path, Layer& layer)
      : package_(package), path_(std::move(path)), layer_(layer) {}

  Status unpack(int fd) {
    auto archive = TRY(Archive::open(fd, Archive::Format::kTarGz, path_));
    while (auto entry = TRY(archive.next())) {
      TRY(layer_.count_entry(path_));
      if (entry->type != ArchiveEntry::Type::kDirectory) TRY(unpack_file(archive, *entry));
    }
    return {};
  }

 private:
  tl::unexpected<Error> bad(std::string_view what) const {
    return refuse({.file = path_}, what, "fetch the tarball from elsewhere, and lock again");
  }

  Status unpack_file(Archive& archive, const ArchiveEntry& entry) {
    if (entry.type == ArchiveEntry::Type::kOther)
      return bad(fmt::format("{} is a link or a special file", shown(entry.path)));
    std::string path = entry.path.starts_with("./") ? entry.path.substr(2) : entry.path;
    if (!check_bundle_path(path, kPackageLimits))
      return bad(fmt::format("\"{}\" is no path inside it", shown(entry.path)));
    // The first part is "package", mostly; npm takes any.
    std::size_t slash = path.find('/');
    if (slash == std::string::npos)
      return bad(fmt::format("{} lies outside its top directory", shown(entry.path)));
    TRY(layer_.begin(package_.path + path.substr(slash), entry.executable, path_));
    TRY(archive.read([this](std::string_view piece) { return layer_.append(piece); }));
    TRY(layer_.end());
    return {};
  }

  const LockedPackage& package_;
  std::string path_;
  Layer& layer_;
};

Status check_hash(int fd, const LockedPackage& package, const std::string& path,
                  const Place& place) {
  std::string sha512 = TRY_CONTEXT(file_sha512(fd), path);
  if (std::ranges::find(package.sha512, sha512) != package.sha512.end()) return {};
  // Both whole would not fit the line.
  return refuse(place,
                fmt::format("{} has sha512 {}…, the lock says {}… (hex)", path,
                            sha512.substr(0, 32), package.sha512[0].substr(0, 32)),
                "fetch the tarball again, or lock again");
}

// False for one that is optional and not there.
Result<bool> unpack_package(int bundle, const std::string& lock, const LockedPackage& package,
                            Layer& layer) {
  std::string path = beside(lock, package.tarball);
  Place place{.file = lock, .line = package.line};
  auto fd = open_beneath(bundle, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd && fd.error().sys_errno == ENOENT) {
    if (package.optional) return false;
    return refuse(place, fmt::format("{}: {} is not in the bundle", shown(package.path), path),
                  kGetTarballs);
  }
  if (!fd) return tl::unexpected(std::move(fd).error().with_context(path));
  TRY(check_hash(fd->get(), package, path, place));
  TRY(Tarball(package, path, layer).unpack(fd->get()));
  return true;
}

}  // namespace

Result<Unpacked> unpack_javascript(int bundle, const std::string& lock, Layer& layer) {
  std::string text = TRY(read_lock(bundle, lock));
  auto packages = TRY(parse_javascript_lock(lock, text));
  TRY(refuse_existing(bundle, kJavascriptTop));
  Unpacked unpacked;
  for (const LockedPackage& package : packages) {
    if (TRY(unpack_package(bundle, lock, package, layer))) {
      ++unpacked.packages;
    } else {
      unpacked.left_out.push_back(
          fmt::format("{} (optional, {} is not there)", shown(package.path), package.tarball));
    }
  }
  return unpacked;
}

}  // namespace flodea::unpacker
