#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

// All pages as one list.
Result<pb::ListResponse> list_agents(Client& client) {
  pb::ListResponse all;
  pb::ListRequest request;
  do {
    auto page = TRY(client.call(&pb::Operators::Stub::List, request));
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    all.MergeFrom(page);
  } while (!request.page_token().empty());
  return all;
}

Status ps(Session& session) {
  Client* client = TRY(session.client());
  auto list = TRY(list_agents(*client));
  print(session.table() ? agents_table(list, session.now()) : render(list, session.format));
  return {};
}

}  // namespace

void add_ps(CLI::App& app, Session& session, Action& action) {
  auto* command = app.add_subcommand("ps", "List the agents");
  command->callback([&] { action = [&session] { return ps(session); }; });
}

}  // namespace flodea::cli
