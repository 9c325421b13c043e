// start, stop, restart: each returns once the agent is there.
#include <fmt/format.h>

#include <memory>

#include "cli/commands/commands.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

template <class Request>
using Method = grpc::Status (pb::Operators::Stub::*)(grpc::ClientContext*, const Request&,
                                                     pb::Agent*);

template <class Request>
Status power(Session& session, const std::string& name, Method<Request> method) {
  Client* client = TRY(session.client());
  Request request;
  request.set_name(name);
  request.set_wait(true);
  auto watch = std::make_unique<TransitionWatch>(session, *client, name);
  auto agent = client->call(method, request);
  watch.reset();
  if (!agent) return tl::unexpected(std::move(agent).error());
  if (session.table())
    print(fmt::format("{} {}\n", agent->name(), state_word(agent->state())));
  else
    print(render(*agent, session.format));
  // A stopped agent may have failed before: that is not this command's failure.
  return std::is_same_v<Request, pb::StopRequest> ? Status() : check_arrived(*agent);
}

template <class Request>
void add_verb(CLI::App& app, Session& session, Action& action, const char* verb, const char* help,
              Method<Request> method) {
  auto name = std::make_shared<std::string>();
  auto* command = app.add_subcommand(verb, help);
  command->add_option("name", *name, "The agent")->required()->type_name("NAME");
  command->callback([&session, &action, name, method] {
    action = [&session, name, method] { return power(session, *name, method); };
  });
}

}  // namespace

void add_power(CLI::App& app, Session& session, Action& action) {
  using Stub = pb::Operators::Stub;
  add_verb<pb::StartRequest>(app, session, action, "start", "Start an agent; returns once it runs",
                             &Stub::Start);
  add_verb<pb::StopRequest>(app, session, action, "stop",
                            "Stop an agent: SIGTERM, after its stop_timeout SIGKILL", &Stub::Stop);
  add_verb<pb::RestartRequest>(app, session, action, "restart", "Stop an agent and start it again",
                               &Stub::Restart);
}

}  // namespace flodea::cli
