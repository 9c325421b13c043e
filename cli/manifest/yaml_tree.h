// One YAML document as a tree with places, and nothing of YAML that a manifest does not need: no
// aliases, no tags, no second document, no key twice. Built from yaml-cpp's events, before any of
// that is lost (or, for aliases, multiplied).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea::cli {

inline constexpr std::size_t kMaxYamlBytes = 64 << 10;
inline constexpr std::size_t kMaxYamlDepth = 16;

struct YamlNode {
  enum class Kind { kNull, kScalar, kMap, kList };
  struct Member;
  Kind kind = Kind::kNull;
  int line = 0;         // from 1
  bool quoted = false;  // a scalar that can only be text
  std::string text;     // of a scalar
  std::vector<Member> members;
  std::vector<YamlNode> items;
};
struct YamlNode::Member {
  std::string key;
  int key_line = 0;
  YamlNode value;
};

// What is wrong, as INVALID_ARGUMENT; the message starts with "FILE:LINE: ".
tl::unexpected<Error> error_at(std::string_view file, int line, std::string_view message,
                               std::string_view remedy, std::string_view field = {});

Result<YamlNode> parse_yaml(std::string_view text, std::string_view file);

}  // namespace flodea::cli
