#include "base/selector.h"

#include <algorithm>

namespace flodea {
namespace {

constexpr std::size_t kMaxWord = 63;  // of a label's key and of its value

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

bool Selector::Requirement::holds(const Labels& labels) const {
  auto label = labels.find(key);
  bool there = label != labels.end();
  bool named = there && std::ranges::find(values, label->second) != values.end();
  switch (op) {
    case Operator::kExists:
      return there;
    case Operator::kAbsent:
      return !there;
    case Operator::kIn:
      return named;
    case Operator::kNotIn:
      return !named;
  }
  return false;
}

class Selector::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Selector> run() {
    Selector selector;
    if (text_.size() > kMaxText)
      return refuse("has more than " + std::to_string(kMaxText) + " characters");
    skip_blanks();
    while (at_ < text_.size()) {
      if (selector.requirements_.size() == kMaxRequirements)
        return refuse("has more than " + std::to_string(kMaxRequirements) + " requirements");
      selector.requirements_.push_back(TRY(requirement()));
      if (at_ == text_.size()) break;
      if (!take(',')) return expected("a comma");
      if (at_ == text_.size()) return expected("a label's key");
    }
    return selector;
  }

 private:
  Result<Requirement> requirement() {
    Requirement one;
    bool absent = take('!');
    one.key = TRY(word("a label's key", true));
    if (one.key.empty()) return expected("a label's key");
    if (absent) {
      one.op = Operator::kAbsent;
      return one;
    }
    if (at_ == text_.size() || text_[at_] == ',') return one;
    return comparison(std::move(one));
  }

  Result<Requirement> comparison(Requirement one) {
    bool differs = take('!');
    if (take('=')) {
      if (!differs) take('=');
      one.op = differs ? Operator::kNotIn : Operator::kIn;
      one.values.push_back(TRY(word("a value", false)));
      return one;
    }
    std::string op = differs ? "" : TRY(word("an operator", false));
    if (op != "in" && op != "notin") return expected("=, !=, in or notin");
    one.op = op == "in" ? Operator::kIn : Operator::kNotIn;
    one.values = TRY(list());
    return one;
  }

  Result<std::vector<std::string>> list() {
    if (!take('(')) return expected("(");
    std::vector<std::string> values;
    do {
      if (values.size() == kMaxValues)
        return refuse("has more than " + std::to_string(kMaxValues) + " values in a list");
      values.push_back(TRY(word("a value", false)));
    } while (take(','));
    if (!take(')')) return expected(")");
    return values;
  }

  // May be empty: so are labels' values.
  Result<std::string> word(const std::string& what, bool key) {
    std::size_t from = at_;
    while (at_ < text_.size() && (is_word(text_[at_]) || (key && text_[at_] == '/'))) ++at_;
    std::string found(text_.substr(from, at_ - from));
    if (found.size() > kMaxWord) return refuse("has " + what + " of more than 63 characters");
    skip_blanks();
    return found;
  }

  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    skip_blanks();
    return true;
  }
  void skip_blanks() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  tl::unexpected<Error> expected(const std::string& what) {
    return refuse("wants " + what + " at character " + std::to_string(at_ + 1));
  }
  tl::unexpected<Error> refuse(const std::string& why) {
    std::string shown(text_.substr(0, 80));
    auto error = fail(Code::kInvalidArgument, "selector \"" + shown + "\" " + why).value();
    return tl::unexpected<Error>(
        std::move(error)
            .with_field("selector")
            .with_remedy("write for instance team=treasury,tier!=test,env in (a,b),!old"));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Result<Selector> Selector::parse(std::string_view text) { return Parser(text).run(); }

bool Selector::matches(const Labels& labels) const {
  return std::ranges::all_of(requirements_,
                             [&](const Requirement& one) { return one.holds(labels); });
}

}  // namespace flodea
