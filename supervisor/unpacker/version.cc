#include "supervisor/unpacker/version.h"

#include <algorithm>
#include <limits>

namespace flodea::unpacker {
namespace {

constexpr std::size_t kMaxDigits = 18;
constexpr std::size_t kMaxText = 128;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_separator(char c) { return c == '.' || c == '-' || c == '_'; }
bool is_local(char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); }

class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}

  bool done() const { return rest_.empty(); }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::optional<std::int64_t> number() {
    std::size_t digits = 0;
    while (digits < rest_.size() && is_digit(rest_[digits])) ++digits;
    if (digits == 0 || digits > kMaxDigits) return std::nullopt;
    std::int64_t value = 0;
    for (char c : rest_.substr(0, digits)) value = value * 10 + (c - '0');
    rest_.remove_prefix(digits);
    return value;
  }
  // [-_.]? WORD [-_.]? N?: the number, 0 where none stands. Nothing is taken where no word fits.
  std::optional<std::pair<std::string_view, std::int64_t>> tagged(
      std::initializer_list<std::string_view> words) {
    Reader ahead(*this);
    if (!ahead.rest_.empty() && is_separator(ahead.rest_.front())) ahead.rest_.remove_prefix(1);
    auto word = std::ranges::find_if(words, [&](std::string_view w) { return ahead.take(w); });
    if (word == words.end()) return std::nullopt;
    rest_ = ahead.rest_;
    if (!ahead.rest_.empty() && is_separator(ahead.rest_.front())) ahead.rest_.remove_prefix(1);
    auto value = ahead.number();
    if (value) rest_ = ahead.rest_;
    return std::pair{*word, value.value_or(0)};
  }
  // "-N", short for ".postN".
  std::optional<std::int64_t> implicit_post() {
    Reader ahead(*this);
    auto value = ahead.take("-") ? ahead.number() : std::nullopt;
    if (value) rest_ = ahead.rest_;
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::string plain(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return out;
}

bool read_release(Reader& reader, Version::Parts& parts) {
  auto first = reader.number();
  if (!first) return false;
  if (reader.take("!")) {
    parts.epoch = *first;
    first = reader.number();
    if (!first) return false;
  }
  parts.release.push_back(*first);
  for (Reader ahead = reader; ahead.take(".");) {
    auto next = ahead.number();
    if (!next) break;
    parts.release.push_back(*next);
    reader = ahead;
  }
  return true;
}

bool read_local(Reader& reader, Version::Parts& parts) {
  if (!reader.take("+")) return reader.done();
  std::string_view text = reader.rest();
  bool fits = !text.empty() && is_local(text.front()) && is_local(text.back());
  for (std::size_t i = 0; fits && i < text.size(); ++i)
    fits = is_local(text[i]) || (is_separator(text[i]) && !is_separator(text[i - 1]));
  if (!fits) return false;
  parts.local = text;
  std::ranges::replace_if(parts.local, is_separator, '.');
  return true;
}

// Without the zeros at its end.
std::vector<std::int64_t> significant(std::vector<std::int64_t> release) {
  while (release.size() > 1 && release.back() == 0) release.pop_back();
  return release;
}

}  // namespace

std::optional<Version> Version::parse(std::string_view text) {
  if (text.size() > kMaxText) return std::nullopt;
  std::string lower = plain(text);
  Reader reader(lower);
  reader.take("v");
  Parts parts;
  if (!read_release(reader, parts)) return std::nullopt;
  // Longer words first: "pre" begins "preview".
  if (auto pre = reader.tagged({"alpha", "beta", "preview", "pre", "rc", "a", "b", "c"}))
    parts.pre = {pre->first[0] == 'a' || pre->first[0] == 'b' ? pre->first[0] : 'r', pre->second};
  if (auto post = reader.implicit_post()) {
    parts.post = post;
  } else if (auto named = reader.tagged({"post", "rev", "r"})) {
    parts.post = named->second;
  }
  if (auto dev = reader.tagged({"dev"})) parts.dev = dev->second;
  if (!read_local(reader, parts)) return std::nullopt;
  return Version(std::move(parts));
}

// What follows the release, such that 1.dev1 < 1a1 < 1 < 1.post1.
std::vector<std::int64_t> Version::suffix() const {
  constexpr std::int64_t kLow = -1, kHigh = std::numeric_limits<std::int64_t>::max();
  std::int64_t phase = kHigh;
  if (parts_.pre) {
    phase = parts_.pre->first;
  } else if (!parts_.post && parts_.dev) {
    phase = kLow;
  }
  return {phase, parts_.pre ? parts_.pre->second : 0, parts_.post.value_or(kLow),
          parts_.dev.value_or(kHigh)};
}

std::strong_ordering Version::operator<=>(const Version& other) const {
  if (auto order = parts_.epoch <=> other.parts_.epoch; order != 0) return order;
  auto order = significant(parts_.release) <=> significant(other.parts_.release);
  return order != 0 ? order : suffix() <=> other.suffix();
}

bool Version::satisfies(const Version& wanted) const {
  return *this == wanted && (wanted.local().empty() || wanted.local() == local());
}

bool Version::begins_with(const Version& prefix) const {
  std::vector<std::int64_t> mine = parts_.release;
  mine.resize(std::max(mine.size(), prefix.release().size()), 0);
  return parts_.epoch == prefix.epoch() &&
         std::equal(prefix.release().begin(), prefix.release().end(), mine.begin());
}

}  // namespace flodea::unpacker
