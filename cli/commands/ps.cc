#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Status ps(Session& session) {
  Client* client = TRY(session.client());
  auto list = TRY(client->call(&pb::Operators::Stub::List, pb::ListRequest()));
  print(session.table() ? agents_table(list, session.now()) : render(list, session.format));
  return {};
}

}  // namespace

void add_ps(CLI::App& app, Session& session, Action& action) {
  auto* command = app.add_subcommand("ps", "List the agents");
  command->callback([&] { action = [&session] { return ps(session); }; });
}

}  // namespace flodea::cli
