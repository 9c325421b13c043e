#include <memory>
#include <optional>
#include <string>

#include "cli/commands/commands.h"
#include "cli/commands/since.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct EventsOptions {
  std::string name;
  bool follow = false;
  std::string since;
  std::optional<std::uint32_t> tail;
};

Status events(Session& session, const EventsOptions& options) {
  Client* client = TRY(session.client());
  pb::EventsRequest request;
  request.set_follow(options.follow);
  request.set_name(options.name);
  if (options.tail) request.set_tail(*options.tail);
  if (!options.since.empty()) *request.mutable_since() = since_time(options.since, session.now());
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
  auto options = std::make_shared<EventsOptions>();
  auto* command = app.add_subcommand(
      "events", "Print what happened: every change of state, limit and refusal, with its reason");
  command->add_option("name", options->name, "Only of this agent")->type_name("NAME");
  command->add_flag("-f,--follow", options->follow, "Go on with what comes");
  command
      ->add_option("--since", options->since,
                   "Only events since then: a duration back (10m), or a time (RFC 3339)")
      ->type_name("T")
      ->check(check_since);
  command->add_option("--tail", options->tail, "Only the last N events so far")->type_name("N");
  command->callback([&session, &action, options] {
    action = [&session, options] { return events(session, *options); };
  });
}

}  // namespace flodea::cli
