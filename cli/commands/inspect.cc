#include <memory>

#include "cli/commands/bulk.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Result<std::string> text_of(Session& session, const std::string& name, bool alone) {
  Client* client = TRY(session.client());
  pb::GetRequest request;
  request.set_name(name);
  auto agent = TRY(client->call(&pb::Operators::Stub::Get, request));
  if (session.table()) return agent_text(agent, session.now()) + (alone ? "" : "\n");
  return alone ? render(agent, session.format) : render_item(agent, session.format);
}

Status inspect(Session& session, const Targets& targets) {
  auto names = TRY(names_of(session, targets));
  bool alone = targets.names.size() == 1;
  return for_each_agent(session, names,
                        [&](const std::string& name) { return text_of(session, name, alone); });
}

}  // namespace

void add_inspect(CLI::App& app, Session& session, Action& action) {
  auto targets = std::make_shared<Targets>();
  auto* command = app.add_subcommand("inspect", "Show all there is to know of agents");
  add_targets(*command, *targets);
  command->callback([&session, &action, command, targets] {
    if (targets->names.empty() && command->count("--selector") == 0)
      throw CLI::RequiredError("NAME or -l");
    action = [&session, targets] { return inspect(session, *targets); };
  });
}

}  // namespace flodea::cli
