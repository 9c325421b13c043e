#include <fmt/format.h>

#include <memory>

#include "cli/commands/commands.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct RmOptions {
  std::string name;
  bool keep_data = false;
};

Status rm(Session& session, const RmOptions& options) {
  Client* client = TRY(session.client());
  pb::RemoveRequest request;
  request.set_name(options.name);
  request.set_keep_data(options.keep_data);
  auto watch = std::make_unique<TransitionWatch>(session, *client, options.name);
  auto receipt = client->call(&pb::Operators::Stub::Remove, request);
  watch.reset();
  if (!receipt) return tl::unexpected(std::move(receipt).error());
  if (!session.table())
    print(render(*receipt, session.format));
  else if (options.keep_data)
    print(fmt::format("{} removed, its data kept\n", options.name));
  else
    print(fmt::format("{} removed, its key destroyed (sha256 {})\n", options.name,
                      receipt->key_digest()));
  return {};
}

}  // namespace

void add_rm(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<RmOptions>();
  auto* command = app.add_subcommand("rm", "Stop an agent, destroy its keys and data, forget it");
  command->add_option("name", options->name, "The agent")->required()->type_name("NAME");
  command->add_flag("--keep-data", options->keep_data,
                    "Keep its encrypted volume for a new agent of this name");
  command->callback([&session, &action, options] {
    action = [&session, options] { return rm(session, *options); };
  });
}

}  // namespace flodea::cli
