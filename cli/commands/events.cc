#include <memory>
#include <optional>
#include <string>

#include "base/number.h"
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
  std::uint64_t after = 0;
};

pb::EventsRequest request_of(const EventsOptions& options, Nanos now) {
  pb::EventsRequest request;
  request.mutable_names()->Add(options.names.begin(), options.names.end());
  request.mutable_kinds()->Add(options.kinds.begin(), options.kinds.end());
  request.set_selector(options.selector);
  if (options.tail) request.set_tail(*options.tail);
  request.set_after_id(options.after);
  if (!options.since.empty()) *request.mutable_since() = since_time(options.since, now);
  if (!options.until.empty()) *request.mutable_until() = since_time(options.until, now);
  return request;
}

using Take = std::function<void(const pb::Event&)>;

grpc::Status read_events(Client& client, const pb::EventsRequest& request, const Take& take) {
  grpc::ClientContext context;
  auto reader = client.stub().Events(&context, request);
  pb::Event event;
  while (reader->Read(&event)) take(event);
  return reader->Finish();
}

Status status_of(const grpc::Status& ended, const std::string& socket) {
  if (ended.ok()) return {};
  return tl::unexpected(error_of(ended, socket));
}

// As read_events; a supervisor that is lost before it has said a word is asked again.
Status ask_events(std::unique_ptr<Client>& client, const pb::EventsRequest& request,
                  const Take& take) {
  Reconnect reconnect(client->socket());
  for (bool silent = true;;) {
    grpc::Status ended = read_events(*client, request, [&](const pb::Event& event) {
      silent = false;
      take(event);
    });
    if (!Reconnect::is_loss(ended)) return status_of(ended, client->socket());
    if (!silent) return {};  // the rest is asked for like what comes after it
    client = TRY(reconnect.again(error_of(ended, client->socket())));
  }
}

// First what the tail has, then what comes after it: a connection that is lost before anything came
// loses nothing.
Status follow_events(Session& session, pb::EventsRequest request) {
  std::uint64_t seen = request.after_id();
  auto show = [&](const pb::Event& event) {
    seen = event.id();
    print(session.table() ? event_text(event) : render_item(event, session.format));
  };
  auto client = TRY(session.own_client());
  if (request.has_tail()) {
    pb::EventsRequest newest;
    newest.set_tail(1);
    TRY(ask_events(client, newest, [&](const pb::Event& event) {
      seen = std::max<std::uint64_t>(seen, event.id());
    }));
    if (request.tail() > 0) TRY(ask_events(client, request, show));
    request.clear_tail();
  }
  request.set_follow(true);
  auto open = [&](Client& to, grpc::ClientContext& context) {
    request.set_after_id(seen);
    return to.stub().Events(&context, request);
  };
  auto take = [&](const pb::Event& event) {
    show(event);
    return !output_lost();
  };
  auto ended = TRY(follow<pb::Event>(std::move(client), open, take));
  return status_of(ended, session.socket);
}

Status events(Session& session, const EventsOptions& options) {
  pb::EventsRequest request = request_of(options, session.now());
  if (options.follow) return follow_events(session, std::move(request));
  Client* client = TRY(session.client());
  auto ended = read_events(*client, request, [&](const pb::Event& event) {
    print(session.table() ? event_text(event) : render_item(event, session.format));
  });
  return status_of(ended, session.socket);
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
  command->add_option("--after", options->after, "Only events after the one with this id")
      ->type_name("ID")
      ->check(check_number<std::uint64_t>);
  command->add_option("--tail", options->tail, "Only the last N events so far")
      ->type_name("N")
      ->check(check_number<std::uint32_t>);
  command->callback([&session, &action, options] {
    action = [&session, options] { return events(session, *options); };
  });
}

}  // namespace flodea::cli
