#include "base/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>

namespace flodea {
namespace {

struct Suffix {
  std::string_view text;
  std::uint64_t factor;
};

constexpr std::array<Suffix, 11> kByteSuffixes{{{"Ki", 1ull << 10},
                                                {"Mi", 1ull << 20},
                                                {"Gi", 1ull << 30},
                                                {"Ti", 1ull << 40},
                                                {"k", 1'000},
                                                {"K", 1'000},
                                                {"M", 1'000'000},
                                                {"G", 1'000'000'000},
                                                {"T", 1'000'000'000'000},
                                                {"B", 1},
                                                {"", 1}}};
// Longest first where one is a prefix of another.
constexpr std::array<Suffix, 6> kTimeSuffixes{{{"ns", 1},
                                               {"us", 1'000},
                                               {"ms", 1'000'000},
                                               {"s", 1'000'000'000},
                                               {"m", 60'000'000'000},
                                               {"h", 3'600'000'000'000}}};

constexpr std::uint64_t kMaxDuration = 366ull * 24 * 3'600'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t count_digits(std::string_view text, bool dot) {
  std::size_t n = 0;
  while (n < text.size() && (is_digit(text[n]) || (dot && text[n] == '.'))) ++n;
  return n;
}

tl::unexpected<Error> bad(std::string_view text, std::string_view what, std::string_view remedy) {
  return tl::unexpected(
      fail(Code::kInvalidArgument, fmt::format("\"{}\" is not {}", text.substr(0, 64), what))
          .value()
          .with_remedy(remedy));
}

tl::unexpected<Error> bad_bytes(std::string_view text) {
  return bad(text, "a quantity of bytes", "write it as 64Mi, 1Gi or 512Ki");
}
tl::unexpected<Error> bad_time(std::string_view text) {
  return bad(text, "a duration", "write it as 200ms, 5s, 2m or 1h30m");
}
tl::unexpected<Error> long_time(std::string_view text) {
  return tl::unexpected(
      fail(Code::kOutOfRange, fmt::format("\"{}\" is out of range, 0 to 8784h", text))
          .value()
          .with_remedy("write a duration of at most 8784h (366 days)"));
}
tl::unexpected<Error> bad_cpu(std::string_view text) {
  return bad(text, "an amount of CPU", "write it as 0.5, 2 or 250m, up to 1024");
}

Result<double> parse_decimal(std::string_view text) {
  double value = 0;
  auto [end, ec] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (ec != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return fail(Code::kInvalidArgument, "not a number");
  return value;
}

std::size_t longest_time_suffix(std::string_view rest, std::uint64_t& factor) {
  std::size_t best = 0;
  for (const Suffix& s : kTimeSuffixes) {
    if (rest.starts_with(s.text) && s.text.size() > best) {
      best = s.text.size();
      factor = s.factor;
    }
  }
  return best;
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  std::size_t n = count_digits(text, false);
  std::uint64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + n, value);
  if (n == 0 || ec != std::errc()) return bad_bytes(text);
  for (const Suffix& s : kByteSuffixes) {
    if (text.substr(n) != s.text) continue;
    if (value > std::numeric_limits<std::int64_t>::max() / s.factor) return bad_bytes(text);
    return value * s.factor;
  }
  return bad_bytes(text);
}

Result<Nanos> parse_duration(std::string_view text) {
  if (text == "0") return Nanos(0);
  std::string_view rest = text;
  double total = 0;
  if (rest.empty() || rest.size() > 64) return bad_time(text);
  while (!rest.empty()) {
    std::size_t n = count_digits(rest, true);
    auto value = parse_decimal(rest.substr(0, n));
    if (n == 0 || !value) return bad_time(text);
    rest.remove_prefix(n);
    std::uint64_t factor = 0;
    std::size_t used = longest_time_suffix(rest, factor);
    if (used == 0) return bad_time(text);
    rest.remove_prefix(used);
    total += *value * static_cast<double>(factor);
  }
  if (total > static_cast<double>(kMaxDuration)) return long_time(text);
  return Nanos(static_cast<std::int64_t>(std::llround(total)));
}

Result<std::uint32_t> parse_cpu_millis(std::string_view text) {
  bool millis = text.ends_with('m');
  std::string_view number = millis ? text.substr(0, text.size() - 1) : text;
  if (number.empty() || count_digits(number, !millis) != number.size()) return bad_cpu(text);
  auto value = parse_decimal(number);
  if (!value) return bad_cpu(text);
  double result = millis ? *value : *value * 1000;
  if (result > 1'024'000 || result != std::floor(result)) return bad_cpu(text);
  return static_cast<std::uint32_t>(result);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits{"", "Ki", "Mi", "Gi", "Ti"};
  std::size_t unit = 0;
  std::uint64_t whole = bytes;
  while (unit + 1 < kUnits.size() && whole >= 1024) whole /= 1024, ++unit;
  std::uint64_t factor = 1ull << (10 * unit);
  if (bytes % factor == 0) return fmt::format("{}{}", bytes / factor, kUnits[unit]);
  return fmt::format("{:.1f}{}", static_cast<double>(bytes) / static_cast<double>(factor),
                     kUnits[unit]);
}

std::string format_duration(Nanos duration) {
  auto ns = duration.count();
  if (ns == 0) return "0s";
  if (ns < 1'000) return fmt::format("{}ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.4g}us", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.4g}ms", static_cast<double>(ns) / 1e6);
  if (ns < 60'000'000'000) return fmt::format("{:.4g}s", static_cast<double>(ns) / 1e9);
  auto seconds = ns / 1'000'000'000;
  std::string text;
  if (seconds >= 3600) text += fmt::format("{}h", seconds / 3600);
  if (seconds / 60 % 60 != 0) text += fmt::format("{}m", seconds / 60 % 60);
  if (seconds % 60 != 0) text += fmt::format("{}s", seconds % 60);
  return text;
}

std::string format_rfc3339(Nanos wall) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(wall);
  std::time_t t = seconds.count();
  std::tm tm{};
  ::gmtime_r(&t, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (wall - seconds).count());
}

static Result<Nanos> parse_zone(std::string_view zone) {
  if (zone == "Z" || zone == "z") return Nanos(0);
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':')
    return fail(Code::kInvalidArgument, "zone");
  int hours = 0, minutes = 0;
  auto h = std::from_chars(zone.data() + 1, zone.data() + 3, hours);
  auto m = std::from_chars(zone.data() + 4, zone.data() + 6, minutes);
  if (h.ec != std::errc() || m.ec != std::errc() || hours > 23 || minutes > 59)
    return fail(Code::kInvalidArgument, "zone");
  Nanos offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return zone[0] == '-' ? -offset : offset;
}

Result<Nanos> parse_rfc3339(std::string_view text) {
  auto refuse = [&] { return bad(text, "a time", "write it as 2026-01-02T03:04:05Z (RFC 3339)"); };
  std::tm tm{};
  std::string owned(text.substr(0, 64));
  const char* rest = ::strptime(owned.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (rest == nullptr) return refuse();
  std::int64_t fraction = 0;
  if (*rest == '.') {
    std::int64_t scale = 100'000'000;
    for (++rest; is_digit(*rest); ++rest, scale /= 10) fraction += (*rest - '0') * scale;
  }
  auto zone = parse_zone(rest);
  if (!zone) return refuse();
  constexpr std::int64_t kLimit = 9'000'000'000;  // seconds that 64-bit nanoseconds can hold
  std::int64_t seconds = std::clamp<std::int64_t>(::timegm(&tm), -kLimit, kLimit);
  return std::chrono::seconds(seconds) + Nanos(fraction) - *zone;
}

}  // namespace flodea
