#include "supervisor/unpacker/javascript_lock.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/bundle_rules.h"
#include "base/json.h"
#include "base/text.h"
#include "supervisor/unpacker/hashes.h"
#include "supervisor/unpacker/refusal.h"

namespace flodea::unpacker {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kModules = "node_modules/";
constexpr std::string_view kWriteLock = "write the lock with `npm install --package-lock-only`";
constexpr std::size_t kMaxPackages = 5'000;
#if defined(__x86_64__)
constexpr std::string_view kCpu = "x64";
#elif defined(__aarch64__)
constexpr std::string_view kCpu = "arm64";
#endif

// Of a key of "packages": JSON's parsers keep no lines. 0 where an escape hides it.
std::size_t line_of_key(std::string_view text, const std::string& key) {
  std::string quoted = "\"" + key + "\"";
  for (std::size_t at = text.find(quoted); at != std::string_view::npos;
       at = text.find(quoted, at + 1)) {
    std::size_t colon = text.find_first_not_of(" \t\r\n", at + quoted.size());
    if (colon != std::string_view::npos && text[colon] == ':')
      return 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, at), '\n'));
  }
  return 0;
}

bool flag(const Json& entry, const char* name) {
  auto it = entry.find(name);
  return it != entry.end() && it->is_boolean() && it->get<bool>();
}

std::string text_of(const Json& entry, const char* name) {
  auto it = entry.find(name);
  return it != entry.end() && it->is_string() ? it->get<std::string>() : "";
}

// "os": ["linux"] or ["!win32"]: an exclusion forbids; where anything is named, it must be this.
bool allows(const Json& entry, const char* name, std::string_view ours) {
  auto it = entry.find(name);
  if (it == entry.end()) return true;
  bool named = false, found = false;
  auto look = [&](const Json& item) {
    std::string word = item.is_string() ? item.get<std::string>() : "";
    if (word == "!" + std::string(ours)) return false;
    named = named || !word.starts_with('!');
    found = found || word == ours || word == "any";
    return true;
  };
  if (!it->is_array()) return look(*it) && (found || !named);
  return std::ranges::all_of(*it, look) && (found || !named);
}

bool is_package_name(std::string_view name) {
  auto plain = [](std::string_view part) {
    return !part.empty() && part.front() != '.' &&
           part.find_first_of("/\\@") == std::string_view::npos;
  };
  if (!name.starts_with('@')) return plain(name);
  std::size_t slash = name.find('/');
  return slash != std::string_view::npos && plain(name.substr(1, slash - 1)) &&
         plain(name.substr(slash + 1));
}

// The name at the end of (node_modules/NAME/)*node_modules/NAME; nothing where it is no such path.
std::optional<std::string_view> package_of_path(std::string_view path) {
  if (!check_bundle_path(path, {})) return std::nullopt;
  for (;;) {
    if (!path.starts_with(kModules)) return std::nullopt;
    path.remove_prefix(kModules.size());
    std::size_t inner = path.find("/node_modules/");
    if (!is_package_name(path.substr(0, inner))) return std::nullopt;
    if (inner == std::string_view::npos) return path;
    path.remove_prefix(inner + 1);
  }
}

// As `npm pack` names it: "@scope/name" 1.2.3 → "scope-name-1.2.3.tgz".
std::string packed_name(std::string_view name, std::string_view version) {
  std::string plain(name.starts_with('@') ? name.substr(1) : name);
  std::ranges::replace(plain, '/', '-');
  return fmt::format("{}-{}.tgz", plain, version);
}

class Entry {
 public:
  Entry(const std::string& file, std::string_view text, const std::string& path, const Json& json)
      : file_(file), text_(text), path_(path), json_(json) {}

  // Nothing for what is left out.
  Result<std::optional<LockedPackage>> read() {
    if (!json_.is_object()) return refuse_it("is no object", kWriteLock);
    if (path_.empty() || flag(json_, "dev") || flag(json_, "inBundle") || flag(json_, "extraneous"))
      return std::nullopt;
    if (flag(json_, "link"))
      return refuse_it("is a link to a directory", "depend on its tarball, as `npm pack` makes it");
    auto name = package_of_path(path_);
    if (!name)
      return refuse_it("lies outside node_modules",
                       "depend on its tarball, as `npm pack` makes it");
    bool here = allows(json_, "os", "linux") && allows(json_, "cpu", kCpu) &&
                allows(json_, "libc", "glibc");
    if (!here && optional()) return std::nullopt;
    if (!here)
      return refuse_it(fmt::format("is not for linux on {} with glibc", kCpu),
                       "depend on another package");
    return LockedPackage{.path = path_,
                         .tarball = TRY(tarball(*name)),
                         .sha512 = TRY(hashes()),
                         .optional = optional(),
                         .line = line_of_key(text_, path_)};
  }

 private:
  tl::unexpected<Error> refuse_it(std::string_view what, std::string_view remedy) const {
    return refuse({.file = file_, .line = line_of_key(text_, path_)},
                  fmt::format("{} {}", shown(path_), what), remedy);
  }
  bool optional() const { return flag(json_, "optional") || flag(json_, "devOptional"); }

  // "resolved": "file:…" is a tarball that the bundle has somewhere; an address stands for
  // tarballs/.
  Result<std::string> tarball(std::string_view name) const {
    constexpr std::string_view kFile = "file:";
    std::string resolved = text_of(json_, "resolved");
    if (resolved.starts_with(kFile)) {
      std::string_view path = std::string_view(resolved).substr(kFile.size());
      if (path.starts_with("./")) path.remove_prefix(2);
      if (check_bundle_path(path, {})) return std::string(path);
      return refuse_it(fmt::format("is at \"{}\", which is no file of the bundle", shown(resolved)),
                       "put its tarball into the bundle, beside the lock file");
    }
    std::string version = text_of(json_, "version");
    std::string alias = text_of(json_, "name");
    std::string file = packed_name(alias.empty() ? name : std::string_view(alias), version);
    if (version.empty() || file.find('/') != std::string::npos || !check_bundle_path(file, {}))
      return refuse_it("has no version that names a tarball", kWriteLock);
    return "tarballs/" + file;
  }

  Result<std::vector<std::string>> hashes() const {
    constexpr std::string_view kSha512 = "sha512-";
    std::string integrity = text_of(json_, "integrity");
    std::vector<std::string> found;
    for (std::string_view rest = integrity; !rest.empty();) {
      std::size_t end = std::min(rest.find(' '), rest.size());
      std::string_view word = rest.substr(0, std::min(end, rest.find('?')));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (!word.starts_with(kSha512)) continue;
      auto hex = hex_of_base64(word.substr(kSha512.size()), 64);
      if (!hex) return refuse_it("has an integrity that is no sha512", kWriteLock);
      found.push_back(std::move(*hex));
    }
    if (!found.empty()) return found;
    std::string resolved = text_of(json_, "resolved");
    if (resolved.starts_with("git"))
      return refuse_it("comes from git, which has no hash",
                       "depend on its tarball, as `npm pack` makes it");
    return refuse_it(integrity.empty() ? "has no integrity" : "has an integrity without sha512",
                     "write the lock with npm 7 or newer, its cache emptied");
  }

  const std::string& file_;
  std::string_view text_;
  const std::string& path_;
  const Json& json_;
};

}  // namespace

Result<std::vector<LockedPackage>> parse_javascript_lock(const std::string& file,
                                                         std::string_view text) {
  const Place whole{.file = file};
  Json json;
  try {
    json = parse_json(text);
  } catch (const Json::parse_error& error) {
    std::size_t at = std::min(error.byte, text.size());
    std::size_t line = 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, at), '\n'));
    return refuse({.file = file, .line = line}, "is no JSON", kWriteLock);
  } catch (const Json::exception&) {  // a number that no type holds
    return refuse(whole, "is no JSON that can be read", kWriteLock);
  }
  if (!json.is_object()) return refuse(whole, "is no object", kWriteLock);
  auto version = json.find("lockfileVersion");
  if (version == json.end() || (*version != 2 && *version != 3))
    return refuse(whole, "has no lockfileVersion 2 or 3", "write the lock with npm 7 or newer");
  auto packages = json.find("packages");
  if (packages == json.end() || !packages->is_object())
    return refuse(whole, "has no \"packages\"", kWriteLock);
  if (packages->size() > kMaxPackages)
    return refuse(whole, fmt::format("names more than {} packages", kMaxPackages),
                  "leave out what the agent does not import");
  std::vector<LockedPackage> found;  // an object's keys are sorted
  for (const auto& [path, entry] : packages->items()) {
    if (auto package = TRY(Entry(file, text, path, entry).read()))
      found.push_back(std::move(*package));
  }
  if (found.empty()) return refuse(whole, "names no package to unpack", kWriteLock);
  return found;
}

}  // namespace flodea::unpacker
