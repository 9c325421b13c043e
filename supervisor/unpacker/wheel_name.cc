#include "supervisor/unpacker/wheel_name.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace flodea::unpacker {
namespace {

constexpr unsigned kAnyPlatform = 900;  // past every manylinux

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<unsigned> number(std::string_view text) {
  if (text.empty() || text.size() > 3 ||
      text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  unsigned value = 0;
  for (char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  return value;
}

// "manylinux_2_17_x86_64", "manylinux2014_x86_64" → 17.
std::optional<unsigned> manylinux_minor(std::string_view platform, std::string_view machine) {
  if (!platform.ends_with("_" + std::string(machine))) return std::nullopt;
  platform.remove_suffix(machine.size() + 1);
  constexpr std::array<std::pair<std::string_view, unsigned>, 3> kOld{
      {{"manylinux1", 5}, {"manylinux2010", 12}, {"manylinux2014", 17}}};
  for (auto [name, minor] : kOld)
    if (platform == name) return minor;
  if (!platform.starts_with("manylinux_2_")) return std::nullopt;
  return number(platform.substr(12));
}

// The newest manylinux first, then linux_MACHINE, then any.
std::optional<unsigned> platform_rank(std::string_view platform, const Interpreter& interpreter) {
  if (platform == "any") return kAnyPlatform;
  if (platform == "linux_" + interpreter.machine) return interpreter.glibc_minor + 1;
  auto minor = manylinux_minor(platform, interpreter.machine);
  if (!minor || *minor > interpreter.glibc_minor) return std::nullopt;
  return interpreter.glibc_minor - *minor;
}

// cp311-cp311, cp311-abi3, cp311-none, then abi3 of older ones, then py3x-none.
std::optional<unsigned> python_rank(std::string_view python, std::string_view abi,
                                    const Interpreter& interpreter) {
  std::string own = fmt::format("cp3{}", interpreter.minor);
  if (python == own && abi == own) return 0;
  if (python == own && abi == "abi3") return 1;
  if (python == own && abi == "none") return 2;
  if (python == "py3" && abi == "none") return 2000;
  auto given = python.size() > 3 ? number(python.substr(3)) : std::nullopt;
  if (!given) return std::nullopt;
  unsigned minor = *given;
  if (python.starts_with("cp3") && minor < interpreter.minor && abi == "abi3")
    return 3 + interpreter.minor - minor;
  bool pure = python.starts_with("py3") && abi == "none" && minor <= interpreter.minor;
  return pure ? std::optional(1000 + interpreter.minor - minor) : std::nullopt;
}

}  // namespace

std::optional<WheelName> WheelName::parse(std::string_view file) {
  constexpr std::string_view kSuffix = ".whl";
  if (!file.ends_with(kSuffix)) return std::nullopt;
  std::vector<std::string> parts = split(file.substr(0, file.size() - kSuffix.size()), '-');
  if (parts.size() != 5 && parts.size() != 6) return std::nullopt;
  auto version = Version::parse(parts[1]);
  if (parts[0].empty() || !version) return std::nullopt;
  std::size_t tags = parts.size() - 3;
  return WheelName{.file = std::string(file),
                   .distribution = parts[0],
                   .version_text = parts[1],
                   .version = std::move(*version),
                   .pythons = split(parts[tags], '.'),
                   .abis = split(parts[tags + 1], '.'),
                   .platforms = split(parts[tags + 2], '.')};
}

std::string WheelName::tags() const {
  return fmt::format("{}-{}-{}", fmt::join(pythons, "."), fmt::join(abis, "."),
                     fmt::join(platforms, "."));
}

std::optional<unsigned> wheel_rank(const WheelName& wheel, const Interpreter& interpreter) {
  std::optional<unsigned> best;
  for (const std::string& python : wheel.pythons) {
    for (const std::string& abi : wheel.abis) {
      auto of_python = python_rank(python, abi, interpreter);
      for (const std::string& platform : wheel.platforms) {
        auto of_platform = platform_rank(platform, interpreter);
        if (!of_python || !of_platform) continue;
        unsigned rank = *of_python * 1000 + *of_platform;
        best = std::min(best.value_or(rank), rank);
      }
    }
  }
  return best;
}

}  // namespace flodea::unpacker
