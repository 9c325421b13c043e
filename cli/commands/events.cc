#include <memory>
#include <optional>
#include <string>

#include "cli/client/follow.h"
#include "cli/commands/commands.h"
#include "cli/commands/since.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct EventsOptions {
  std::vector<std::string> names, kinds;
  std::string selector;
  bool follow = false;
  std::string since, until;
  std::optional<std::uint32_t> tail;
};

pb::EventsRequest request_of(const EventsOptions& options, Nanos now) {
  pb::EventsRequest request;
  request.mutable_names()->Add(options.names.begin(), options.names.end());
  request.mutable_kinds()->Add(options.kinds.begin(), options.kinds.end());
  request.set_selector(options.selector);
  if (options.tail) request.set_tail(*options.tail);
  if (!options.since.empty()) *request.mutable_since() = since_time(options.since, now);
  if (!options.until.empty()) *request.mutable_until() = since_time(options.until, now);
  return request;
}

// Where "from now on" begins, so that a lost connection can go on from there.
Result<std::uint64_t> ask_newest(Client& client) {
  pb::EventsRequest request;
  request.set_tail(1);
  grpc::ClientContext context;
  auto reader = client.stub().Events(&context, request);
  pb::Event event;
  while (reader->Read(&event)) continue;
  grpc::Status status = reader->Finish();
  if (!status.ok()) return tl::unexpected(error_of(status, client.socket()));
  return event.id();
}

// The supervisor may be lost already here.
Result<std::uint64_t> newest_event(std::unique_ptr<Client>& client) {
  Reconnect reconnect(client->socket());
  for (;;) {
    auto newest = ask_newest(*client);
    if (newest || !is_unreachable(newest.error())) return newest;
    client = TRY(reconnect.again(newest.error()));
  }
}

Status follow_events(Session& session, pb::EventsRequest request) {
  auto client = TRY(session.own_client());
  std::uint64_t seen = TRY(newest_event(client));
  bool first = true;
  request.set_follow(true);
  auto open = [&](Client& to, grpc::ClientContext& context) {
    if (!std::exchange(first, false)) {
      request.clear_tail();
      request.set_after_id(seen);
    }
    return to.stub().Events(&context, request);
  };
  auto take = [&](const pb::Event& event) {
    seen = std::max<std::uint64_t>(seen, event.id());
    print(session.table() ? event_text(event) : render_item(event, session.format));
    return true;
  };
  auto ended = TRY(follow<pb::Event>(std::move(client), open, take));
  if (!ended.ok()) return tl::unexpected(error_of(ended, session.socket));
  return {};
}

Status events(Session& session, const EventsOptions& options) {
  pb::EventsRequest request = request_of(options, session.now());
  if (options.follow) return follow_events(session, std::move(request));
  Client* client = TRY(session.client());
  grpc::ClientContext context;
  auto reader = client->stub().Events(&context, request);
  pb::Event event;
  while (reader->Read(&event))
    print(session.table() ? event_text(event) : render_item(event, session.format));
  grpc::Status status = reader->Finish();
  if (!status.ok()) return tl::unexpected(error_of(status, session.socket));
  return {};
}

CLI::Option* add_time(CLI::App& command, const std::string& name, std::string& value,
                      const std::string& help) {
  return command.add_option(name, value, help + ": a duration back (10m), or a time (RFC 3339)")
      ->type_name("T")
      ->check(check_since);
}

}  // namespace

void add_events(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<EventsOptions>();
  auto* command = app.add_subcommand(
      "events", "Print what happened: every change of state, limit and refusal, with its reason");
  command->add_option("name", options->names, "Only of these agents")->type_name("NAME");
  add_selector(*command, options->selector);
  auto* follow = command->add_flag("-f,--follow", options->follow,
                                   "Go on with what comes, also after a restart of the supervisor");
  command->add_option("--kind", options->kinds, "Only of this kind (agent.state); may be repeated")
      ->type_name("KIND")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_time(*command, "--since", options->since, "Only events since then");
  add_time(*command, "--until", options->until, "Only events until then")->excludes(follow);
  command->add_option("--tail", options->tail, "Only the last N events so far")->type_name("N");
  command->callback([&session, &action, options] {
    action = [&session, options] { return events(session, *options); };
  });
}

}  // namespace flodea::cli
