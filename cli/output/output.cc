#include "cli/output/output.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <yaml-cpp/emitter.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/quantity.h"

namespace flodea::cli {
namespace {

using Json = nlohmann::ordered_json;

// Characters, not bytes.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// What a YAML reader would take for something else than text.
bool needs_quotes(const std::string& text) {
  if (text.empty()) return true;
  bool numeric = std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
  });
  static const std::vector<std::string> kWords{"true", "false", "null",  "~",   "yes", "no", "on",
                                               "off",  "True",  "False", "Yes", "No",  "On", "Off"};
  return numeric || std::ranges::find(kWords, text) != kWords.end();
}

void emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, item] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      emit(out, item);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& item : value) emit(out, item);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (needs_quotes(text)) out << YAML::DoubleQuoted;
    out << text;
  } else {
    out << json_text(value);
  }
}

std::string yaml_of(const Json& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string to_json(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !one_line;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}";
  return text;
}

std::string to_yaml(const google::protobuf::Message& message) {
  return yaml_of(Json::parse(to_json(message, true), nullptr, false));
}

std::string manifest_yaml(const operators::v1::AgentManifest& manifest) {
  Json file{{"apiVersion", manifest.api_version()}};
  file.update(Json::parse(to_json(manifest, true), nullptr, false));
  file.erase("api_version");
  return yaml_of(file);
}

std::string render(const google::protobuf::Message& message, Format format) {
  return format == Format::kYaml ? to_yaml(message) : to_json(message, false);
}

std::string render_item(const google::protobuf::Message& message, Format format) {
  return format == Format::kYaml ? "---\n" + to_yaml(message) : to_json(message, true) + "\n";
}

std::string render(const Json& value, Format format) {
  constexpr int kIndent = 1;  // as MessageToJsonString's
  return format == Format::kYaml ? yaml_of(value) : value.dump(kIndent) + "\n";
}

std::string render_item(const Json& value, Format format) {
  return format == Format::kYaml ? "---\n" + yaml_of(value) : json_text(value) + "\n";
}

std::string state_word(operators::v1::State state) {
  std::string name = operators::v1::State_Name(state).substr(sizeof "STATE_" - 1);
  std::ranges::transform(name, name.begin(), [](char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return name;
}

std::string age(const google::protobuf::Timestamp& since, Nanos now) {
  auto seconds = std::max<std::int64_t>(0, now.count() / 1'000'000'000 - since.seconds());
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 120 * 60) return fmt::format("{}m", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86400);
}

std::string time_text(const google::protobuf::Timestamp& time) {
  std::string text = format_rfc3339(std::chrono::seconds(time.seconds()) + Nanos(time.nanos()));
  return text.substr(0, text.size() - 7) + "Z";  // to the millisecond
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too, some terminals obey them.
    bool c1 = c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else if ((c < 0x20 && c != '\t') || c == 0x7f)
      out += fmt::format("\\x{:02x}", c);
    else
      out += text[i];
  }
  return out;
}

}  // namespace flodea::cli
