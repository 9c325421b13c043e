#include "cli/commands/plan.h"

#include <nlohmann/json.hpp>

#include "cli/commands/targets.h"
#include "cli/output/changes.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

const char* plan_word(pb::ApplyResponse::Outcome outcome) {
  switch (outcome) {
    case pb::ApplyResponse::OUTCOME_CREATED:
      return "create";
    case pb::ApplyResponse::OUTCOME_CHANGED:
      return "change";
    default:
      return "unchanged";
  }
}

std::string plan_item(const Session& session, const std::string& name, const std::string& action,
                      const std::vector<FieldChange>& changes) {
  if (session.table()) {
    std::string text = name + " " + action + "\n";
    for (const FieldChange& change : changes) text += "  " + change_text(change) + "\n";
    return text;
  }
  nlohmann::ordered_json fields = nlohmann::ordered_json::array();
  auto value = [](const std::optional<std::string>& text) {
    return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json();
  };
  for (const FieldChange& change : changes) {
    fields.push_back(
        {{"field", change.path}, {"before", value(change.before)}, {"after", value(change.after)}});
  }
  return render_item(
      nlohmann::ordered_json{{"agent", name}, {"action", action}, {"changes", fields}},
      session.format);
}

}  // namespace

Status print_plan(Session& session, const std::vector<pb::ApplyResponse>& previews,
                  const std::vector<std::string>& removed) {
  Client* client = TRY(session.client());
  auto there = TRY(agents_by_name(*client));
  for (const pb::ApplyResponse& preview : previews) {
    const pb::Agent& agent = preview.agent();
    auto old = there.find(agent.name());
    bool changes = preview.outcome() == pb::ApplyResponse::OUTCOME_CHANGED && old != there.end();
    print(plan_item(session, agent.name(), plan_word(preview.outcome()),
                    changes ? changes_between(&old->second, agent) : std::vector<FieldChange>()));
  }
  for (const std::string& name : removed) print(plan_item(session, name, "remove", {}));
  return {};
}

}  // namespace flodea::cli
