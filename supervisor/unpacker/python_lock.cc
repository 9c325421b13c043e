#include "supervisor/unpacker/python_lock.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/bundle_rules.h"
#include "base/text.h"
#include "supervisor/unpacker/refusal.h"

namespace flodea::unpacker {
namespace {

constexpr std::string_view kWriteHashes =
    "write the lock with `pip-compile --generate-hashes`, `uv export` or `poetry export`";
constexpr std::size_t kMaxRequirements = 2'000;
constexpr std::size_t kMaxHashes = 2'000;  // of a requirement: one for each file of a release

bool is_line_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }
bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_name(char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_line_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_line_space(text.back())) text.remove_suffix(1);
  return text;
}

struct LogicalLine {
  std::string text;
  std::size_t number;
};

// A '#' at the start of a line or after a space begins a comment.
std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i)
    if (line[i] == '#' && (i == 0 || is_line_space(line[i - 1]))) return line.substr(0, i);
  return line;
}

// As pip joins them: a '\' at the end goes on with the next line, a line of comment ends that.
class LogicalLines {
 public:
  explicit LogicalLines(std::string_view text) : rest_(text) {}

  std::optional<LogicalLine> next() {
    if (rest_.empty()) return std::nullopt;
    LogicalLine line{.text = {}, .number = number_ + 1};
    for (bool more = true; more && !rest_.empty();) {
      std::string_view part = take();
      bool comment = trimmed(part).starts_with('#');
      more = !comment && part.ends_with('\\');
      if (more) part.remove_suffix(1);
      line.text += without_comment(part);
      if (comment) line.text += ' ';
    }
    return line;
  }

 private:
  std::string_view take() {
    std::size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  std::string_view rest_;
  std::size_t number_ = 0;
};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    auto end = static_cast<std::size_t>(std::ranges::find_if(text, is_line_space) - text.begin());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

// "--option=value" or "--option value": true when it is this option; takes its words from `words`.
bool take_option(std::vector<std::string_view>& words, std::string_view option,
                 std::string_view& value) {
  std::string_view word = words.front();
  if (word.starts_with(option) && word.size() > option.size() && word[option.size()] == '=') {
    value = word.substr(option.size() + 1);
    words.erase(words.begin());
    return true;
  }
  if (word != option || words.size() < 2) return false;
  value = words[1];
  words.erase(words.begin(), words.begin() + 2);
  return true;
}

class Parser {
 public:
  Parser(const std::string& file, const Interpreter& interpreter)
      : file_(file), interpreter_(interpreter) {}

  Result<PythonLock> run(std::string_view text) {
    LogicalLines lines(text);
    while (auto line = lines.next()) {
      place_ = {.file = file_, .line = line->number};
      std::string_view content = trimmed(line->text);
      if (content.empty()) continue;
      TRY(content.starts_with('-') ? option(content) : requirement(content));
    }
    if (lock_.requirements.empty())
      return refuse({.file = file_}, "names no package for this Python", kWriteHashes);
    std::ranges::sort(lock_.requirements, {}, &Requirement::name);
    return std::move(lock_);
  }

 private:
  // --- Options of the whole file

  Status option(std::string_view content) {
    std::vector<std::string_view> words = words_of(content);
    constexpr std::array<std::string_view, 4> kFlags{"--no-index", "--require-hashes", "--pre",
                                                     "--prefer-binary"};
    constexpr std::array<std::string_view, 5> kValues{"--index-url", "-i", "--extra-index-url",
                                                      "--trusted-host", "--only-binary"};
    std::string_view value;
    while (!words.empty()) {
      if (std::ranges::find(kFlags, words.front()) != kFlags.end()) {
        words.erase(words.begin());
      } else if (take_option(words, "--find-links", value) || take_option(words, "-f", value)) {
        TRY(wheels(value));
      } else if (!std::ranges::any_of(kValues,
                                      [&](auto name) { return take_option(words, name, value); })) {
        return refuse(place_, fmt::format("\"{}\" cannot be honoured", shown(words.front())),
                      "leave in the lock only NAME==VERSION with --hash=sha256:…");
      }
    }
    return {};
  }

  Status wheels(std::string_view directory) {
    while (directory.starts_with("./")) directory.remove_prefix(2);
    while (directory.ends_with('/')) directory.remove_suffix(1);
    if (!check_bundle_path(directory, {}) || directory.find(':') != std::string_view::npos)
      return refuse(place_,
                    fmt::format("--find-links {} is no directory of the bundle", shown(directory)),
                    "name one beside the lock file, as in wheels");
    lock_.wheels = directory;
    return {};
  }

  // --- A requirement: NAME [EXTRAS] ==VERSION ; MARKER --hash=…

  Status requirement(std::string_view content) {
    auto [text, options] = split_options(content);
    auto name_end =
        static_cast<std::size_t>(std::ranges::find_if_not(text, is_name) - text.begin());
    std::string_view name = text.substr(0, name_end);
    if (name.empty() || !is_alnum(name.front()) || !is_alnum(name.back()) || name.size() > 128)
      return refuse(place_, fmt::format("\"{}\" is no requirement", shown(text)), kWriteHashes);
    std::size_t semicolon = std::min(text.find(';'), text.size());
    std::string_view pin = trimmed(text.substr(name_end, semicolon - name_end));
    TRY(skip_extras(name, pin));
    auto version = TRY(pinned(name, pin));
    if (semicolon < text.size() && !TRY(holds(name, text.substr(semicolon + 1)))) return {};
    auto hashes = TRY(hashes_of(name, options));
    return add({.name = normal_name(name),
                .version = std::move(version),
                .version_text = std::string(trimmed(pin.substr(2))),
                .sha256 = std::move(hashes),
                .line = place_.line});
  }

  // As pip: options begin with the first word that begins with '-'.
  static std::pair<std::string_view, std::string_view> split_options(std::string_view content) {
    for (std::string_view word : words_of(content)) {
      if (!word.starts_with('-')) continue;
      auto at = static_cast<std::size_t>(word.data() - content.data());
      return {trimmed(content.substr(0, at)), content.substr(at)};
    }
    return {trimmed(content), {}};
  }

  // What an extra brings stands in the lock with a line of its own.
  Status skip_extras(std::string_view name, std::string_view& pin) const {
    if (!pin.starts_with('[')) return {};
    std::size_t end = pin.find(']');
    if (end == std::string_view::npos)
      return refuse(place_, fmt::format("the extras of {} have no \"]\"", shown(name)),
                    kWriteHashes);
    pin = trimmed(pin.substr(end + 1));
    return {};
  }

  Result<Version> pinned(std::string_view name, std::string_view pin) const {
    if (pin.starts_with('@'))
      return refuse(place_, fmt::format("{} comes from an address", shown(name)),
                    "pin it as NAME==VERSION and put its wheel into the bundle");
    auto version = pin.starts_with("==") ? Version::parse(trimmed(pin.substr(2))) : std::nullopt;
    if (version) return std::move(*version);
    return refuse(place_, fmt::format("{} is not pinned to one version", shown(name)),
                  fmt::format("write {}==VERSION", shown(name)));
  }

  Result<bool> holds(std::string_view name, std::string_view marker) const {
    auto value = evaluate_marker(marker, interpreter_);
    if (value) return *value;
    return refuse(place_, fmt::format("{}: {}", shown(name), shown(value.error().message)),
                  "write the lock for this Python alone");
  }

  Result<std::vector<std::string>> hashes_of(std::string_view name,
                                             std::string_view options) const {
    std::vector<std::string> hashes;
    std::vector<std::string_view> words = words_of(options);
    std::string_view value;
    while (!words.empty()) {
      if (!take_option(words, "--hash", value))
        return refuse(
            place_, fmt::format("{}: \"{}\" cannot be honoured", shown(name), shown(words.front())),
            "leave in the lock only NAME==VERSION with --hash=sha256:…");
      hashes.push_back(TRY(sha256_of(name, value)));
      if (hashes.size() > kMaxHashes)
        return refuse(place_, fmt::format("{} has more than {} hashes", shown(name), kMaxHashes),
                      kWriteHashes);
    }
    if (hashes.empty())
      return refuse(place_, fmt::format("{} has no hash", shown(name)),
                    fmt::format("add --hash=sha256:…, or {}", kWriteHashes));
    return hashes;
  }

  Result<std::string> sha256_of(std::string_view name, std::string_view hash) const {
    constexpr std::string_view kPrefix = "sha256:";
    bool fits = hash.starts_with(kPrefix) && hash.size() == kPrefix.size() + 64;
    std::string hex(fits ? hash.substr(kPrefix.size()) : "");
    std::ranges::transform(hex, hex.begin(), lower);
    if (fits && hex.find_first_not_of("0123456789abcdef") == std::string::npos) return hex;
    return refuse(place_,
                  fmt::format("{}: \"{}\" is no sha256 of 64 hex digits", shown(name), shown(hash)),
                  kWriteHashes);
  }

  Status add(Requirement requirement) {
    if (lock_.requirements.size() >= kMaxRequirements)
      return refuse(place_, fmt::format("the lock names more than {} packages", kMaxRequirements),
                    "leave out what the agent does not import");
    auto same = std::ranges::find(lock_.requirements, requirement.name, &Requirement::name);
    if (same != lock_.requirements.end())
      return refuse(place_,
                    fmt::format("{} stands in line {} already", requirement.name, same->line),
                    "leave one of them out");
    lock_.requirements.push_back(std::move(requirement));
    return {};
  }

  const std::string& file_;
  const Interpreter& interpreter_;
  Place place_;
  PythonLock lock_;
};

}  // namespace

std::string normal_name(std::string_view name) {
  std::string out;
  for (char c : name) {
    bool separator = c == '-' || c == '_' || c == '.';
    if (!separator) {
      out += lower(c);
    } else if (!out.ends_with('-')) {
      out += '-';
    }
  }
  return out;
}

Result<PythonLock> parse_python_lock(const std::string& file, std::string_view text,
                                     const Interpreter& interpreter) {
  return Parser(file, interpreter).run(text);
}

}  // namespace flodea::unpacker
