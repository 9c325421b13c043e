#include <memory>
#include <utility>

#include "cli/client/follow.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct PsOptions {
  std::string selector;
  bool watch = false;
};

Status ps(Session& session, const PsOptions& options) {
  Client* client = TRY(session.client());
  auto list = TRY(list_agents(*client, options.selector));
  if (list.agents().empty() && !options.selector.empty()) say_none_selected();
  print(session.table() ? agents_table(list, session.now()) : render(list, session.format));
  return {};
}

// A table of those there are, then a row for each change.
class Watcher {
 public:
  Watcher(Session& session, const std::string& selector)
      : session_(session), selected_(selector.empty()) {}
  void take(const pb::AgentChange& change) {
    if (!std::exchange(selected_, true) && change.type() == pb::AgentChange::TYPE_SYNCED)
      say_none_selected();
    if (!session_.table()) return print(render_item(change, session_.format));
    switch (change.type()) {
      case pb::AgentChange::TYPE_PRESENT:
        *there_.add_agents() = change.agent();
        break;
      case pb::AgentChange::TYPE_SYNCED:
        print(agents_table(there_, session_.now()));
        there_.Clear();
        break;
      case pb::AgentChange::TYPE_REMOVED:
        print(change.agent().name() + "  removed\n");
        break;
      default:
        print(agent_row(change.agent(), session_.now()));
    }
  }

 private:
  Session& session_;
  bool selected_;  // something is, or that nothing is was said
  pb::ListResponse there_;
};

Status watch(Session& session, const PsOptions& options) {
  Watcher watcher(session, options.selector);
  pb::WatchAgentsRequest request;
  request.set_selector(options.selector);
  auto open = [&](Client& client, grpc::ClientContext& context) {
    return client.stub().WatchAgents(&context, request);
  };
  auto take = [&](const pb::AgentChange& change) {
    if (change.cursor() != 0) request.set_cursor(change.cursor());
    watcher.take(change);
    return true;
  };
  auto client = TRY(session.own_client());
  auto ended = TRY(follow<pb::AgentChange>(std::move(client), open, take));
  if (!ended.ok()) return tl::unexpected(error_of(ended, session.socket));
  return {};
}

}  // namespace

void add_ps(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<PsOptions>();
  auto* command = app.add_subcommand("ps", "List the agents");
  add_selector(*command, options->selector);
  command->add_flag("-w,--watch", options->watch,
                    "Go on with each change, also after a restart of the supervisor");
  command->callback([&session, &action, options] {
    action = [&session, options] {
      return options->watch ? watch(session, *options) : ps(session, *options);
    };
  });
}

}  // namespace flodea::cli
