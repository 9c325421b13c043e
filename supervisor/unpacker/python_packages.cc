#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/safe_path.h"
#include "base/text.h"
#include "supervisor/unpacker/archive.h"
#include "supervisor/unpacker/hashes.h"
#include "supervisor/unpacker/packages.h"
#include "supervisor/unpacker/python_lock.h"
#include "supervisor/unpacker/refusal.h"
#include "supervisor/unpacker/wheel_name.h"
#include "supervisor/unpacker/wheel_record.h"

namespace flodea::unpacker {
namespace {

constexpr std::size_t kMaxWheels = 10'000;
constexpr std::size_t kMaxMetadata = 8 << 20;  // of RECORD and WHEEL
constexpr std::string_view kGetWheels =
    "`pip download --only-binary :all: -r LOCK -d wheels` and put them into the bundle";

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// --- Choosing

Result<std::vector<WheelName>> wheels_in(int bundle, const std::string& directory) {
  auto fd = open_beneath(bundle, directory, O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error().sys_errno == ENOENT) return std::vector<WheelName>();
  if (!fd) return tl::unexpected(std::move(fd).error().with_context(directory));
  std::unique_ptr<DIR, CloseDirectory> dir(::fdopendir(fd->get()));
  if (!dir) return fail_errno("read directory " + directory);
  fd->release();  // closedir closes it
  std::vector<WheelName> wheels;
  while (const dirent* entry = ::readdir(dir.get())) {
    auto wheel = WheelName::parse(entry->d_name);
    if (wheel && wheels.size() < kMaxWheels) wheels.push_back(std::move(*wheel));
  }
  std::ranges::sort(wheels, {}, &WheelName::file);
  return wheels;
}

struct Chosen {
  std::string path;  // of the bundle
  WheelName name;
  UniqueFd file;
};

class Choice {
 public:
  Choice(int bundle, const std::string& lock, std::string directory,
         const std::vector<WheelName>& wheels, const Interpreter& interpreter)
      : bundle_(bundle),
        lock_(lock),
        directory_(std::move(directory)),
        wheels_(wheels),
        interpreter_(interpreter) {}

  // The best that fits and has one of the hashes.
  Result<Chosen> choose(const Requirement& wanted) const {
    auto fitting = TRY(candidates(wanted));
    std::string first;
    for (const WheelName* wheel : fitting) {
      Chosen chosen{.path = directory_ + "/" + wheel->file, .name = *wheel, .file = {}};
      chosen.file = TRY(open_wheel(chosen.path));
      std::string sha256 = TRY_CONTEXT(file_sha256(chosen.file.get()), chosen.path);
      if (std::ranges::find(wanted.sha256, sha256) != wanted.sha256.end()) return chosen;
      if (first.empty()) first = fmt::format("{} has sha256 {}", chosen.path, sha256);
    }
    std::string says = wanted.sha256.size() == 1
                           ? wanted.sha256[0]
                           : fmt::format("none of its {} hashes", wanted.sha256.size());
    return refuse({.file = lock_, .line = wanted.line},
                  fmt::format("{}, the lock says {}", first, says),
                  "fetch the wheel again, or lock again");
  }

 private:
  Result<std::vector<const WheelName*>> candidates(const Requirement& wanted) const {
    std::vector<std::pair<unsigned, const WheelName*>> ranked;
    const WheelName* other = nullptr;
    for (const WheelName& wheel : wheels_) {
      if (normal_name(wheel.distribution) != wanted.name ||
          !wheel.version.satisfies(wanted.version))
        continue;
      if (auto rank = wheel_rank(wheel, interpreter_)) {
        ranked.emplace_back(*rank, &wheel);
      } else {
        other = &wheel;
      }
    }
    if (ranked.empty()) return missing(wanted, other);
    std::ranges::stable_sort(ranked, {}, [](const auto& pair) { return pair.first; });
    std::vector<const WheelName*> found;
    for (const auto& [rank, wheel] : ranked) found.push_back(wheel);
    return found;
  }

  tl::unexpected<Error> missing(const Requirement& wanted, const WheelName* other) const {
    Place place{.file = lock_, .line = wanted.line};
    if (other == nullptr)
      return refuse(
          place,
          fmt::format("no wheel of {} {} is in {}/", wanted.name, wanted.version_text, directory_),
          kGetWheels);
    return refuse(
        place,
        fmt::format("{}/{} is for {}, not for Python 3.{} on {} with glibc 2.{}", directory_,
                    clean_line(other->file, 100), clean_line(other->tags(), 60), interpreter_.minor,
                    interpreter_.machine, interpreter_.glibc_minor),
        kGetWheels);
  }

  Result<UniqueFd> open_wheel(const std::string& path) const {
    // O_NONBLOCK: a bundle has no pipes, but this does not depend on it.
    return open_beneath(bundle_, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }

  int bundle_;
  const std::string& lock_;
  std::string directory_;
  const std::vector<WheelName>& wheels_;
  const Interpreter& interpreter_;
};

// --- Unpacking

class Wheel {
 public:
  Wheel(const Chosen& chosen, Layer& layer, Unpacked& unpacked)
      : chosen_(chosen), layer_(layer), unpacked_(unpacked) {}

  // Twice through it: RECORD, by which files are judged, is its last entry.
  Status unpack() {
    TRY(read_metadata());
    if (::lseek(chosen_.file.get(), 0, SEEK_SET) != 0) return fail_errno("seek " + chosen_.path);
    auto archive = TRY(open());
    while (auto entry = TRY(archive.next())) {
      TRY(layer_.count_entry(chosen_.path));
      if (entry->type != ArchiveEntry::Type::kDirectory) TRY(unpack_file(archive, *entry));
    }
    for (const auto& [path, hash] : record_)
      if (!seen_.contains(path) && !is_signature(path))
        return bad(fmt::format("does not have {}, which its RECORD names", shown(path)));
    if (scripts_ > 0)
      unpacked_.left_out.push_back(
          fmt::format("{} of {}", counted(scripts_, "script"), chosen_.path));
    if (others_ > 0)
      unpacked_.left_out.push_back(
          fmt::format("{} of {}", counted(others_, "header or data file"), chosen_.path));
    return {};
  }

 private:
  static std::string counted(std::size_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  }
  tl::unexpected<Error> bad(std::string_view what) const {
    return refuse({.file = chosen_.path}, what, "fetch the wheel from elsewhere, and lock again");
  }
  Result<Archive> open() const {
    return Archive::open(chosen_.file.get(), Archive::Format::kZip, chosen_.path);
  }
  // Is `directory` this wheel's NAME-VERSION<suffix>? Spelling may be another than the file's.
  bool is_own(std::string_view directory, std::string_view suffix) const {
    if (!directory.ends_with(suffix)) return false;
    directory.remove_suffix(suffix.size());
    std::size_t dash = directory.rfind('-');
    if (dash == std::string_view::npos) return false;
    auto version = Version::parse(directory.substr(dash + 1));
    return version && *version == chosen_.name.version &&
           normal_name(directory.substr(0, dash)) == normal_name(chosen_.name.distribution);
  }
  bool is_signature(const std::string& path) const {
    return path == info_ + "RECORD.jws" || path == info_ + "RECORD.p7s";
  }

  Status read_metadata() {
    std::optional<std::string> record, wheel;
    auto archive = TRY(open());
    while (auto entry = TRY(archive.next())) {
      std::size_t slash = entry->path.find('/');
      std::string_view file =
          std::string_view(entry->path).substr(std::min(slash + 1, entry->path.size()));
      if (slash == std::string::npos || (file != "RECORD" && file != "WHEEL")) continue;
      if (!is_own(std::string_view(entry->path).substr(0, slash), ".dist-info")) continue;
      std::string info = entry->path.substr(0, slash + 1);
      if (!info_.empty() && info_ != info)
        return bad(fmt::format("has both {} and {}", shown(info_), shown(info)));
      info_ = info;
      std::optional<std::string>& text = file == "RECORD" ? record : wheel;
      if (text) return bad(fmt::format("has {} twice", shown(entry->path)));
      text.emplace();
      TRY(archive.read([&](std::string_view piece) { return keep(piece, *text); }));
    }
    if (!record || !wheel)
      return bad(fmt::format("has no {} in a {}-{}.dist-info", record ? "WHEEL" : "RECORD",
                             shown(chosen_.name.distribution), shown(chosen_.name.version_text)));
    if (wheel->find("Wheel-Version: 1.") == std::string::npos)
      return bad("is not of wheel version 1");
    auto parsed = parse_wheel_record(info_ + "RECORD", *record);
    if (!parsed) return bad(parsed.error().message);
    record_ = std::move(*parsed);
    return {};
  }

  Status keep(std::string_view piece, std::string& text) const {
    if (text.size() + piece.size() > kMaxMetadata)
      return bad(fmt::format("has more than 8Mi in {}", shown(info_)));
    text += piece;
    return {};
  }

  Status unpack_file(Archive& archive, const ArchiveEntry& entry) {
    if (entry.type == ArchiveEntry::Type::kOther)
      return bad(fmt::format("{} is a link or a special file", shown(entry.path)));
    if (!check_bundle_path(entry.path, kPackageLimits))
      return bad(fmt::format("\"{}\" is no path inside it", shown(entry.path)));
    auto listed = record_.find(entry.path);
    bool signature = is_signature(entry.path);
    if (listed == record_.end() && !signature)
      return bad(fmt::format("{} is not in its RECORD", shown(entry.path)));
    seen_.insert(entry.path);
    auto target = TRY(place(entry.path));
    if (!target) return {};
    TRY(layer_.begin(*target, entry.executable, chosen_.path));
    TRY(archive.read([this](std::string_view piece) { return layer_.append(piece); }));
    std::string sha256 = TRY(layer_.end());
    if (signature || listed->second.empty() || listed->second == sha256) return {};
    return bad(
        fmt::format("{} has sha256 {}, RECORD says {}", shown(entry.path), sha256, listed->second));
  }

  // Where a file goes; nothing for what an agent has no use for.
  Result<std::optional<std::string>> place(const std::string& path) {
    std::string_view rest = path;
    std::string_view top = rest.substr(0, rest.find('/'));
    if (is_own(top, ".data") && top.size() < rest.size()) {
      rest.remove_prefix(top.size() + 1);
      std::size_t slash = std::min(rest.find('/'), rest.size());
      std::string_view scheme = rest.substr(0, slash);
      bool code = scheme == "purelib" || scheme == "platlib";
      if (!code && scheme != "scripts" && scheme != "headers" && scheme != "data")
        return bad(fmt::format("{} is for a scheme that does not exist", shown(path)));
      if (!code) {
        ++(scheme == "scripts" ? scripts_ : others_);
        return std::nullopt;
      }
      rest.remove_prefix(std::min(slash + 1, rest.size()));
    }
    return fmt::format("{}/{}", kPythonTop, rest);
  }

  const Chosen& chosen_;
  Layer& layer_;
  Unpacked& unpacked_;
  std::string info_;  // "NAME-VERSION.dist-info/"
  std::map<std::string, std::string> record_;
  std::set<std::string> seen_;
  std::size_t scripts_ = 0, others_ = 0;
};

}  // namespace

Result<Unpacked> unpack_python(int bundle, const std::string& lock, const Interpreter& interpreter,
                               Layer& layer) {
  std::string text = TRY(read_lock(bundle, lock));
  PythonLock parsed = TRY(parse_python_lock(lock, text, interpreter));
  TRY(refuse_existing(bundle, kPythonTop));
  std::string directory = beside(lock, parsed.wheels);
  std::vector<WheelName> wheels = TRY(wheels_in(bundle, directory));
  Choice choice(bundle, lock, directory, wheels, interpreter);
  Unpacked unpacked;
  for (const Requirement& wanted : parsed.requirements) {
    Chosen chosen = TRY(choice.choose(wanted));
    TRY(Wheel(chosen, layer, unpacked).unpack());
    ++unpacked.packages;
  }
  return unpacked;
}

}  // namespace flodea::unpacker
