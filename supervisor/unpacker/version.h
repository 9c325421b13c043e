// Versions of Python packages, as PEP 440 reads and orders them. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flodea::unpacker {

class Version {
 public:
  // "1.0", "v2!1.0rc1.post2.dev3+local"; nothing where it is no version. Numbers of ≤ 18 digits.
  static std::optional<Version> parse(std::string_view text);

  // Trailing zeros mean nothing: 1.0 is 1.0.0. Without the local part.
  std::strong_ordering operator<=>(const Version& other) const;
  bool operator==(const Version& other) const { return (*this <=> other) == 0; }
  const std::string& local() const { return parts_.local; }
  const std::vector<std::int64_t>& release() const { return parts_.release; }
  std::int64_t epoch() const { return parts_.epoch; }

  // Is it `wanted` of "==wanted"? One without a local part takes any.
  bool satisfies(const Version& wanted) const;
  // Does it begin with this epoch and release ("3.11" of "==3.11.*")?
  bool begins_with(const Version& prefix) const;

  struct Parts {
    std::int64_t epoch = 0;
    std::vector<std::int64_t> release;
    std::optional<std::pair<char, std::int64_t>> pre;  // 'a', 'b', 'r'
    std::optional<std::int64_t> post;
    std::optional<std::int64_t> dev;
    std::string local;
  };

 private:
  explicit Version(Parts parts) : parts_(std::move(parts)) {}
  std::vector<std::int64_t> suffix() const;

  Parts parts_;
};

}  // namespace flodea::unpacker
