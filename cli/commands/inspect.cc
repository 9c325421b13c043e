#include <memory>

#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Status inspect(Session& session, const std::string& name) {
  Client* client = TRY(session.client());
  pb::GetRequest request;
  request.set_name(name);
  auto agent = TRY(client->call(&pb::Operators::Stub::Get, request));
  print(session.table() ? agent_text(agent, session.now()) : render(agent, session.format));
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, Session& session, Action& action) {
  auto name = std::make_shared<std::string>();
  auto* command = app.add_subcommand("inspect", "Show all there is to know of an agent");
  command->add_option("name", *name, "The agent")->required()->type_name("NAME");
  command->callback(
      [&session, &action, name] { action = [&session, name] { return inspect(session, *name); }; });
}

}  // namespace flodea::cli
