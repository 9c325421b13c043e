// Numbers in texts that came from elsewhere, read strictly: the whole text, decimal digits with at
// most a minus sign before them, within the type's range.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>

namespace flodea {

template <std::integral Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What is wrong with it, empty: nothing. A check of an option in CLI11's form, which would itself
// take -1 for an unsigned number, and the largest for one beyond it.
template <std::integral Number>
std::string check_number(const std::string& text) {
  if (parse_number<Number>(text)) return "";
  return "\"" + text + "\" is no whole number, or out of range";
}

}  // namespace flodea
