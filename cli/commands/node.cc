#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Status node(Session& session) {
  Client* client = TRY(session.client());
  auto node = TRY(client->call(&pb::Operators::Stub::GetNode, pb::GetNodeRequest()));
  print(session.table() ? node_text(node, session.now()) : render(node, session.format));
  return {};
}

}  // namespace

void add_node(CLI::App& app, Session& session, Action& action) {
  auto* command = app.add_subcommand(
      "node", "Show this host: what it can enforce, what it has promised, its services");
  command->callback([&] { action = [&session] { return node(session); }; });
}

}  // namespace flodea::cli
