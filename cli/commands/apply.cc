#include <fmt/format.h>

#include <memory>

#include "base/selector.h"
#include "cli/commands/batch.h"
#include "cli/commands/commands.h"
#include "cli/commands/plan.h"
#include "cli/commands/prune.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct ApplyOptions {
  std::vector<std::string> files;
  std::string selector;
  bool recursive = false;
  bool wait = false;
  bool plan = false;
  bool prune = false;
  bool prune_data = false;
};

// All are asked for before any is waited for: one may need another. Those that others come after
// are the first: in any other order the old manifests and the new might make a ring together.
Status apply_all(Session& session, std::vector<Deployment>& deployments, bool wait) {
  if (deployments.size() == 1)
    return deploy(session, deployments.front(), wait ? Wish::kApplyAndWait : Wish::kApply);
  Client* client = TRY(session.client());
  TRY(sort_batch(*client, deployments));
  std::size_t failed = 0;
  auto note = [&](const Status& done) {
    if (done) return;
    session.progress.clear();
    say_error(done.error());
    ++failed;
  };
  for (Deployment& deployment : deployments) note(deploy(session, deployment, Wish::kApply));
  for (Deployment& deployment : deployments) {
    if (wait && deployment.applied) note(await(session, deployment));
  }
  if (failed == 0) return {};
  return fail(Code::kAborted, fmt::format("{} of {} agents failed", failed, deployments.size()));
}

// Nothing is changed before all of it is known to be right.
Status apply(Session& session, const ApplyOptions& options) {
  auto deployments =
      TRY(read_batch(options.files, options.recursive ? Depth::kRecursive : Depth::kFlat));
  Client* client = TRY(session.client());
  std::vector<std::string> pruned;
  if (options.prune) pruned = TRY(to_prune(*client, deployments, options.selector));
  if (deployments.size() > 1 || options.plan || options.prune) {
    auto previews = TRY(preview_batch(session, deployments));
    if (options.plan) return print_plan(session, previews, pruned);
  }
  TRY(apply_all(session, deployments, options.wait));
  return prune(session, pruned, options.prune_data ? Data::kDestroyed : Data::kKept);
}

}  // namespace

void add_apply(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<ApplyOptions>();
  auto* command = app.add_subcommand("apply", "Make agents what their manifests say");
  command
      ->add_option("-f,--file", options->files,
                   "A manifest (-: of stdin), or a directory of *.yaml")
      ->required()
      ->type_name("FILE|DIR");
  command->add_flag("-R,--recursive", options->recursive, "Also the directories below");
  command->add_flag("--wait", options->wait, "Return once they run");
  command->add_flag("--plan", options->plan,
                    "Only say what would be done, with the changed fields");
  auto* prune =
      command->add_flag("--prune", options->prune,
                        "Remove agents that are in none of these manifests; their data is "
                        "kept");
  command->add_flag("--prune-data", options->prune_data, "Destroy their data too")->needs(prune);
  add_selector(*command, options->selector);
  command->get_option("--selector")
      ->needs(prune)
      ->description("Only agents with these labels are removed by --prune");
  command->callback([&session, &action, command, options] {
    auto selector = Selector::parse(options->selector);
    if (command->count("--selector") > 0 && selector && selector->selects_all())
      throw CLI::ValidationError("-l", "an empty selector means every agent: leave it out");
    action = [&session, options] { return apply(session, *options); };
  });
}

}  // namespace flodea::cli
