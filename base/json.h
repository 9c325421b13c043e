// nlohmann's parser and writer, compiled once: in each file that uses them they take longer to
// compile than the file.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace flodea {

// RFC 8259. parse_json throws nlohmann::json::exception (parse_error: what the text has wrong, and
// at which byte; out_of_range: a number that no type holds); try_parse_json gives a value that
// is_discarded() instead.
nlohmann::json parse_json(std::string_view text);
nlohmann::json try_parse_json(std::string_view text);

// On one line. Bytes that are no UTF-8 become U+FFFD.
std::string json_text(const nlohmann::json& value);
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace flodea
