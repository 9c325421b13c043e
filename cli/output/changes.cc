#include "cli/output/changes.h"

#include <fmt/format.h>

#include <map>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/output/output.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;
using Fields = std::map<std::string, std::string>;

void flatten(const std::string& path, const nlohmann::json& value, Fields& out) {
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) flatten(path + "." + key, item, out);
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      flatten(fmt::format("{}[{}]", path, i), value[i], out);
  } else {
    out[path] = value.is_string() ? value.get<std::string>() : json_text(value);
  }
}

Fields fields_of(const pb::Agent& agent) {
  Fields fields;
  flatten("spec", try_parse_json(to_json(agent.spec(), true)), fields);
  for (const auto& [key, value] : agent.labels()) fields["metadata.labels." + key] = value;
  return fields;
}

std::optional<std::string> value_of(const Fields& fields, const std::string& path) {
  auto it = fields.find(path);
  return it == fields.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace

std::vector<FieldChange> changes_between(const pb::Agent* before, const pb::Agent& after) {
  Fields from = before == nullptr ? Fields() : fields_of(*before), to = fields_of(after);
  Fields all = from;
  all.insert(to.begin(), to.end());
  std::vector<FieldChange> changes;
  for (const auto& [path, value] : all) {
    FieldChange change{path, value_of(from, path), value_of(to, path)};
    if (change.before != change.after) changes.push_back(std::move(change));
  }
  return changes;
}

std::string change_text(const FieldChange& change) {
  auto shown = [](const std::optional<std::string>& value) {
    if (!value) return std::string("none");
    return value->empty() ? std::string("\"\"") : printable(*value);
  };
  return fmt::format("{}: {} → {}", change.path, shown(change.before), shown(change.after));
}

std::string diff_text(const pb::Agent* before, const pb::Agent& after, const std::string& file) {
  auto changes = changes_between(before, after);
  if (changes.empty()) return "";
  std::string old = before == nullptr ? "none" : fmt::format("revision {}", before->revision());
  std::string text =
      fmt::format("--- {} ({})\n+++ {} ({})\n", after.name(), old, after.name(), file);
  for (const FieldChange& change : changes) {
    if (change.before) text += fmt::format("-{}: {}\n", change.path, printable(*change.before));
    if (change.after) text += fmt::format("+{}: {}\n", change.path, printable(*change.after));
  }
  return text;
}

}  // namespace flodea::cli
