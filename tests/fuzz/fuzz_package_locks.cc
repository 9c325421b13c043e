// Lock files of packages, be they anything: parsing ends, and what it gives is fit to be used:
// paths that stay in the bundle, hashes that are hashes, lines that exist.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bundle_rules.h"
#include "base/text.h"
#include "supervisor/unpacker/javascript_lock.h"
#include "supervisor/unpacker/python_lock.h"
#include "supervisor/unpacker/wheel_name.h"
#include "supervisor/unpacker/wheel_record.h"

namespace {

using namespace flodea::unpacker;

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_hex(const std::string& text, std::size_t size) {
  return text.size() == size && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool stays_inside(const std::string& path) {
  return flodea::check_bundle_path(path, {}).has_value() && path.find("..") != 0;
}

std::size_t lines_of(std::string_view text) {
  return 1 + static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

void python(std::string_view text) {
  auto lock = parse_python_lock("requirements.lock", text, *Interpreter::parse("3.11.2"));
  if (!lock) return require(lock.error().message.starts_with("requirements.lock"));
  require(stays_inside(lock->wheels) && !lock->requirements.empty());
  for (const Requirement& requirement : lock->requirements) {
    require(normal_name(requirement.name) == requirement.name);
    require(requirement.line >= 1 && requirement.line <= lines_of(text));
    require(requirement.version.satisfies(requirement.version));
    require(!requirement.sha256.empty());
    for (const std::string& hash : requirement.sha256) require(is_hex(hash, 64));
  }
}

void javascript(std::string_view text) {
  auto lock = parse_javascript_lock("package-lock.json", text);
  if (!lock) return require(lock.error().message.starts_with("package-lock.json"));
  require(std::ranges::is_sorted(*lock, {}, &LockedPackage::path) && !lock->empty());
  for (const LockedPackage& package : *lock) {
    require(stays_inside(package.path) && package.path.starts_with("node_modules/"));
    require(stays_inside(package.tarball) && package.line <= lines_of(text));
    require(!package.sha512.empty());
    for (const std::string& hash : package.sha512) require(is_hex(hash, 128));
  }
}

void record(std::string_view text) {
  auto hashes = parse_wheel_record("RECORD", text);
  if (!hashes) return;
  for (const auto& [path, hash] : *hashes)
    require(is_hex(hash, 64) || (hash.empty() && path.starts_with("RECORD")));
}

void names(std::string_view text) {
  auto interpreter = *Interpreter::parse("3.11");
  if (auto wheel = WheelName::parse(text)) (void)wheel_rank(*wheel, interpreter);
  (void)evaluate_marker(text, interpreter);
  if (auto version = Version::parse(text)) require(*version == *version);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0:
      python(text);
      break;
    case 1:
      javascript(text);
      break;
    case 2:
      record(text);
      break;
    default:
      names(text);
  }
  return 0;
}
