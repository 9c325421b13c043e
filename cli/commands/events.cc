#include <memory>

#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Status events(Session& session, bool follow) {
  Client* client = TRY(session.client());
  pb::EventsRequest request;
  request.set_follow(follow);
  grpc::ClientContext context;
  auto reader = client->stub().Events(&context, request);
  pb::Event event;
  while (reader->Read(&event))
    print(session.table() ? event_text(event) : render_item(event, session.format));
  grpc::Status status = reader->Finish();
  if (!status.ok()) return tl::unexpected(error_of(status, session.socket));
  return {};
}

}  // namespace

void add_events(CLI::App& app, Session& session, Action& action) {
  auto follow = std::make_shared<bool>(false);
  auto* command = app.add_subcommand(
      "events", "Print what happened: every change of state, limit and refusal, with its reason");
  command->add_flag("-f,--follow", *follow, "Go on with what comes");
  command->callback([&session, &action, follow] {
    action = [&session, follow] { return events(session, *follow); };
  });
}

}  // namespace flodea::cli
