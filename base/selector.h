// Which agents are meant, by their labels: Kubernetes' syntax, "team=treasury,tier!=test,env in
// (a,b),!old". All requirements must hold. One parser, of the command line and of the supervisor.
// Pure, bounded.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea {

class Selector {
 public:
  static constexpr std::size_t kMaxText = 4096;
  static constexpr std::size_t kMaxRequirements = 32;
  static constexpr std::size_t kMaxValues = 64;  // of one `in` or `notin`
  using Labels = std::map<std::string, std::string>;

  Selector() = default;  // selects all
  // "key", "!key", "key=value", "key==value", "key!=value", "key in (a,b)", "key notin (a,b)",
  // joined by commas; nothing at all selects all. kInvalidArgument: what is wrong, at which
  // character, field "selector".
  static Result<Selector> parse(std::string_view text);

  // As in Kubernetes, != and notin also hold where the label is not there.
  bool matches(const Labels& labels) const;
  bool selects_all() const { return requirements_.empty(); }

 private:
  enum class Operator { kExists, kAbsent, kIn, kNotIn };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;
    bool holds(const Labels& labels) const;
  };
  class Parser;
  std::vector<Requirement> requirements_;
};

}  // namespace flodea
