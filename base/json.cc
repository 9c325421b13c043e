#include "base/json.h"

#include <nlohmann/json.hpp>

namespace flodea {
namespace {

template <class Json>
std::string text_of(const Json& value) {
  constexpr int kOneLine = -1;
  return value.dump(kOneLine, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace

nlohmann::json parse_json(std::string_view text) { return nlohmann::json::parse(text); }

nlohmann::json try_parse_json(std::string_view text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string json_text(const nlohmann::json& value) { return text_of(value); }
std::string json_text(const nlohmann::ordered_json& value) { return text_of(value); }

}  // namespace flodea
