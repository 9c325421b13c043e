#include "supervisor/unpacker/marker.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <gnu/libc-version.h>

#include "supervisor/unpacker/version.h"

namespace flodea::unpacker {
namespace {

constexpr int kMaxDepth = 16;
#if defined(__x86_64__)
constexpr std::string_view kMachine = "x86_64";
#elif defined(__aarch64__)
constexpr std::string_view kMachine = "aarch64";
#endif

tl::unexpected<Error> bad(std::string_view what) {
  return fail(Code::kInvalidArgument, fmt::format("its marker {}", what));
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
         (c >= '0' && c <= '9');
}
bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_operator(char c) { return c == '<' || c == '>' || c == '=' || c == '!' || c == '~'; }

bool ordered(std::string_view op, std::strong_ordering order) {
  if (op == "==") return order == 0;
  if (op == "!=") return order != 0;
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

// ~=3.9.1: at least that, and 3.9.*
Result<bool> compatible(const Version& left, const Version& right, std::string_view text) {
  if (right.release().size() < 2) return bad("has \"~=\" with a version of one part");
  std::string_view digits = text.substr(0, text.find_first_not_of("v0123456789.!"));
  auto prefix = Version::parse(digits.substr(0, digits.rfind('.')));
  return prefix && left >= right && left.begins_with(*prefix);
}

Result<bool> compare(std::string_view left, std::string_view op, std::string_view right) {
  if (op == "in") return right.find(left) != std::string_view::npos;
  if (op == "not in") return right.find(left) == std::string_view::npos;
  if (op == "===") return left == right;
  auto version = Version::parse(left);
  bool equality = op == "==" || op == "!=";
  if (version && equality && right.ends_with(".*")) {
    auto prefix = Version::parse(right.substr(0, right.size() - 2));
    if (prefix) return version->begins_with(*prefix) == (op == "==");
  }
  auto other = Version::parse(right);
  if (version && other && op == "~=") return compatible(*version, *other, right);
  if (op == "~=") return bad("compares text by \"~=\"");
  if (version && other) return ordered(op, *version <=> *other);
  if (equality) return (left == right) == (op == "==");
  return bad(fmt::format("compares text by \"{}\"", op));
}

class Evaluation {
 public:
  Evaluation(std::string_view text, const Interpreter& interpreter)
      : rest_(text), interpreter_(interpreter) {}

  Result<bool> run() {
    bool value = TRY(any_of());
    skip_space();
    if (!rest_.empty()) return bad(fmt::format("is not understood from \"{}\"", rest_));
    return value;
  }

 private:
  Result<bool> any_of() {
    bool value = TRY(all_of());
    while (take_word("or")) value = TRY(all_of()) || value;
    return value;
  }
  Result<bool> all_of() {
    bool value = TRY(one());
    while (take_word("and")) value = TRY(one()) && value;
    return value;
  }
  Result<bool> one() {
    skip_space();
    if (!rest_.starts_with('(')) return comparison();
    rest_.remove_prefix(1);
    if (++depth_ > kMaxDepth) return bad(fmt::format("is more than {} levels deep", kMaxDepth));
    bool value = TRY(any_of());
    --depth_;
    skip_space();
    if (!rest_.starts_with(')')) return bad("has a \"(\" without its \")\"");
    rest_.remove_prefix(1);
    return value;
  }
  Result<bool> comparison() {
    std::string left = TRY(operand());
    std::string_view op = TRY(comparator());
    std::string right = TRY(operand());
    return compare(left, op, right);
  }

  Result<std::string> operand() {
    skip_space();
    if (rest_.starts_with('"') || rest_.starts_with('\'')) return quoted();
    std::size_t length = 0;
    while (length < rest_.size() && is_word(rest_[length])) ++length;
    if (length == 0) return bad("ends, or has a sign, where a name or a text belongs");
    std::string_view name = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return variable(name);
  }
  Result<std::string> quoted() {
    std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return bad("has a text without its closing quote");
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  Result<std::string_view> comparator() {
    skip_space();
    if (take_word("in")) return "in";
    if (take_word("not")) {
      if (take_word("in")) return "not in";
      return bad("has \"not\" without \"in\"");
    }
    std::size_t length = 0;
    while (length < rest_.size() && is_operator(rest_[length])) ++length;
    std::string_view op = rest_.substr(0, length);
    constexpr std::array<std::string_view, 8> kKnown{"<", "<=", ">", ">=", "==", "!=", "~=", "==="};
    if (std::ranges::find(kKnown, op) == kKnown.end())
      return bad(fmt::format("has no comparison where \"{}\" stands", rest_.substr(0, 16)));
    rest_.remove_prefix(length);
    return op;
  }

  Result<std::string> variable(std::string_view name) {
    if (name == "python_version") return fmt::format("3.{}", interpreter_.minor);
    if (name == "os_name") return "posix";
    if (name == "sys_platform") return "linux";
    if (name == "platform_system") return "Linux";
    if (name == "platform_machine") return interpreter_.machine;
    if (name == "platform_python_implementation") return "CPython";
    if (name == "implementation_name") return "cpython";
    if (name == "extra") return "";
    bool full = name == "python_full_version" || name == "implementation_version";
    if (full && !interpreter_.full_version.empty()) return interpreter_.full_version;
    return bad(fmt::format("asks for {}, which is not known here", name));
  }

  bool take_word(std::string_view word) {
    skip_space();
    bool there =
        rest_.starts_with(word) && (rest_.size() == word.size() || !is_word(rest_[word.size()]));
    if (there) rest_.remove_prefix(word.size());
    return there;
  }
  void skip_space() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }

  std::string_view rest_;
  const Interpreter& interpreter_;
  int depth_ = 0;
};

// Of the library this program is linked with: a distribution's host has none that is older.
unsigned glibc_minor() {
  auto version = Version::parse(::gnu_get_libc_version());
  return version && version->release().size() > 1 ? static_cast<unsigned>(version->release()[1])
                                                  : 0;
}

}  // namespace

std::optional<Interpreter> Interpreter::parse(std::string_view text) {
  auto version = Version::parse(text);
  if (!version || version->release().size() < 2 || version->release()[0] != 3 ||
      version->release()[1] > 999)
    return std::nullopt;
  return Interpreter{.minor = static_cast<unsigned>(version->release()[1]),
                     .full_version = version->release().size() > 2 ? std::string(text) : "",
                     .glibc_minor = unpacker::glibc_minor(),
                     .machine = std::string(kMachine)};
}

Result<bool> evaluate_marker(std::string_view marker, const Interpreter& interpreter) {
  return Evaluation(marker, interpreter).run();
}

}  // namespace flodea::unpacker
