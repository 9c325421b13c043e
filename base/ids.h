// Strong identifiers. An AgentId is made by control when an agent is first applied and is never
// reused; a Generation counts the instances (starts) of one agent. Files, cgroups and messages of
// the root protocol carry these, never names and never paths.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea {

class AgentId {
 public:
  AgentId() = default;                                  // empty: names no agent
  static Result<AgentId> parse(std::string_view text);  // exactly 32 lower-case hex digits
  static AgentId random();                              // getrandom(2)

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const AgentId&) const = default;

 private:
  explicit AgentId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

struct Generation {
  std::uint64_t value = 0;
  auto operator<=>(const Generation&) const = default;
};

// Counts the lives of flodea-control under one flodead; workers drop messages of older epochs.
struct Epoch {
  std::uint64_t value = 0;
  auto operator<=>(const Epoch&) const = default;
};

// Content hash of a bundle: "sha256:" + 64 lower-case hex digits in APIs; `hex()` on disk.
class BundleDigest {
 public:
  BundleDigest() = default;
  static Result<BundleDigest> parse(std::string_view text);    // with the "sha256:" prefix
  static Result<BundleDigest> from_hex(std::string_view hex);  // 64 hex digits
  std::string text() const { return "sha256:" + hex_; }
  const std::string& hex() const { return hex_; }
  bool empty() const { return hex_.empty(); }
  auto operator<=>(const BundleDigest&) const = default;

 private:
  explicit BundleDigest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

// Names people give to agents: a DNS label (RFC 1123): [a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?, 1–63
// characters.
Status check_agent_name(std::string_view name);

}  // namespace flodea

template <>
struct std::hash<flodea::AgentId> {
  std::size_t operator()(const flodea::AgentId& id) const {
    return std::hash<std::string>()(id.text());
  }
};
