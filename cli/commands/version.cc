#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

Result<std::string> supervisor_version(Session& session) {
  Client* client = TRY(session.client());
  auto node = TRY(client->call(&pb::Operators::Stub::GetNode, pb::GetNodeRequest()));
  return node.version();
}

// Works without a supervisor: that is when one asks.
Status version(Session& session) {
  auto supervisor = supervisor_version(session);
  if (!session.table()) {
    nlohmann::ordered_json out{{"flodea", FLODEA_VERSION}, {"supervisor", supervisor.value_or("")}};
    print(render(out, session.format));
    return {};
  }
  print(fmt::format("flodea: {}\nsupervisor: {}\n", FLODEA_VERSION,
                    supervisor ? *supervisor : "not reachable"));
  return {};
}

}  // namespace

void add_version(CLI::App& app, Session& session, Action& action) {
  auto* command =
      app.add_subcommand("version", "Print the versions of flodea and of the supervisor");
  command->callback([&] { action = [&session] { return version(session); }; });
}

}  // namespace flodea::cli
