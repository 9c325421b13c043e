#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/commands/bulk.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct RmOptions {
  Targets targets;
  bool keep_data = false;
  bool yes = false;
};

Result<std::string> remove(Session& session, const std::string& name, const RmOptions& options) {
  Client* client = TRY(session.client());
  pb::RemoveRequest request;
  request.set_name(name);
  request.set_keep_data(options.keep_data);
  std::unique_ptr<TransitionWatch> watch;
  bool alone = options.targets.names.size() == 1;
  if (alone) watch = std::make_unique<TransitionWatch>(session, *client, name);
  auto receipt = client->call(&pb::Operators::Stub::Remove, request);
  watch.reset();
  if (!receipt) return tl::unexpected(std::move(receipt).error());
  if (!session.table())
    return alone ? render(*receipt, session.format) : render_item(*receipt, session.format);
  if (options.keep_data) return fmt::format("{} removed, its data kept\n", name);
  if (receipt->key_digest().empty()) return fmt::format("{} removed; it had no volume yet\n", name);
  return fmt::format("{} removed, its key destroyed (sha256 {})\n", name, receipt->key_digest());
}

// Who names agents knows them; who selects them sees first which they are.
Status confirm(const std::vector<std::string>& names, const RmOptions& options) {
  if (!options.targets.by_selector || options.yes || names.empty()) return {};
  std::string which = fmt::format("{}", fmt::join(names, ", "));
  std::string what = options.keep_data ? "their data is kept" : "their data is destroyed";
  if (::isatty(STDIN_FILENO) == 1) {
    fmt::print(stderr, "Remove {} ({}): {}. Go on? [y/N] ", which, names.size(), what);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer == "y" || answer == "yes") return {};
    return fail(Code::kCancelled, "nothing was removed");
  }
  auto error = fail(Code::kFailedPrecondition,
                    fmt::format("{} agents would be removed ({}), and nobody is there to ask",
                                names.size(), which))
                   .value();
  return tl::unexpected(std::move(error).with_remedy("say --yes"));
}

Status rm(Session& session, const RmOptions& options) {
  auto names = TRY(names_of(session, options.targets));
  TRY(confirm(names, options));
  return for_each_agent(
      session, names, [&](const std::string& name) { return remove(session, name, options); },
      TRY(stop_precedence(session, names)));
}

}  // namespace

void add_rm(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<RmOptions>();
  auto* command = app.add_subcommand("rm", "Stop agents, destroy their keys and data, forget them");
  add_changing_targets(*command, options->targets);
  command->add_flag("--keep-data", options->keep_data,
                    "Keep their encrypted volumes for new agents of these names");
  command->add_flag("-y,--yes", options->yes, "Do not ask, with -l and --all");
  command->callback([&session, &action, command, options] {
    check_changing(*command, options->targets);
    action = [&session, options] { return rm(session, *options); };
  });
}

}  // namespace flodea::cli
