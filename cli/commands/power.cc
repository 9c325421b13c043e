// start, stop, restart: each returns once the agents are there.
#include <fmt/format.h>

#include <memory>

#include "cli/commands/bulk.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

template <class Request>
using Method = grpc::Status (pb::Operators::Stub::*)(grpc::ClientContext*, const Request&,
                                                     pb::Agent*);

template <class Request>
Result<std::string> power(Session& session, const std::string& name, bool alone,
                          Method<Request> method) {
  Client* client = TRY(session.client());
  Request request;
  request.set_name(name);
  request.set_wait(true);
  std::unique_ptr<TransitionWatch> watch;
  if (alone) watch = std::make_unique<TransitionWatch>(session, *client, name);
  auto agent = client->call(method, request);
  watch.reset();
  if (!agent) return tl::unexpected(std::move(agent).error());
  std::string text = alone ? render(*agent, session.format) : render_item(*agent, session.format);
  if (session.table()) text = fmt::format("{} {}\n", agent->name(), state_word(agent->state()));
  // A stopped agent may have failed before: that is not this command's failure.
  if (std::is_same_v<Request, pb::StopRequest>) return text;
  Status arrived = check_arrived(*agent);
  if (!arrived && alone) print(text);
  TRY(std::move(arrived));
  return text;
}

template <class Request>
void add_verb(CLI::App& app, Session& session, Action& action, const char* verb, const char* help,
              Method<Request> method) {
  auto targets = std::make_shared<Targets>();
  auto* command = app.add_subcommand(verb, help);
  add_changing_targets(*command, *targets);
  auto run = [&session, targets, method]() -> Status {
    auto names = TRY(names_of(session, *targets));
    bool alone = targets->names.size() == 1;
    Precedence before;
    if (std::is_same_v<Request, pb::StopRequest>)
      before = TRY(stop_precedence(session, names));
    else
      names = TRY(in_start_order(session, names));
    return for_each_agent(
        session, names,
        [&](const std::string& name) { return power(session, name, alone, method); },
        std::move(before));
  };
  command->callback([&action, command, targets, run] {
    check_changing(*command, *targets);
    action = run;
  });
}

}  // namespace

void add_power(CLI::App& app, Session& session, Action& action) {
  using Stub = pb::Operators::Stub;
  add_verb<pb::StartRequest>(app, session, action, "start", "Start agents; returns once they run",
                             &Stub::Start);
  add_verb<pb::StopRequest>(app, session, action, "stop",
                            "Stop agents: SIGTERM, after their stop_timeout SIGKILL", &Stub::Stop);
  add_verb<pb::RestartRequest>(app, session, action, "restart", "Stop agents and start them again",
                               &Stub::Restart);
}

}  // namespace flodea::cli
