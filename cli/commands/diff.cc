#include <algorithm>
#include <memory>

#include "cli/commands/batch.h"
#include "cli/commands/commands.h"
#include "cli/commands/plan.h"
#include "cli/commands/targets.h"
#include "cli/output/changes.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct DiffOptions {
  std::vector<std::string> files;
  bool recursive = false;
};

Status diff(Session& session, const DiffOptions& options) {
  auto deployments =
      TRY(read_batch(options.files, options.recursive ? Depth::kRecursive : Depth::kFlat));
  auto previews = TRY(preview_batch(session, deployments));
  auto same = [](const pb::ApplyResponse& preview) {
    return preview.outcome() == pb::ApplyResponse::OUTCOME_UNCHANGED;
  };
  if (!std::ranges::all_of(previews, same)) session.exit = Exit::kRefused;
  if (!session.table()) return print_plan(session, previews, {});
  Client* client = TRY(session.client());
  auto there = TRY(agents_by_name(*client));
  for (std::size_t i = 0; i < previews.size(); ++i) {
    const pb::Agent& after = previews[i].agent();
    auto before = there.find(after.name());
    print(diff_text(before == there.end() ? nullptr : &before->second, after,
                    deployments[i].manifest.file));
  }
  return {};
}

}  // namespace

// As diff(1): what differs is status 1, so errors are more.
void add_diff(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<DiffOptions>();
  auto* command = app.add_subcommand(
      "diff", "Show what an apply would change, field by field; exit status 1 where it would");
  command
      ->add_option("-f,--file", options->files,
                   "A manifest (-: of stdin), or a directory of *.yaml")
      ->required()
      ->type_name("FILE|DIR");
  command->add_flag("-R,--recursive", options->recursive, "Also the directories below");
  command->callback([&session, &action, options] {
    session.least_error = Exit::kUsage;
    action = [&session, options] { return diff(session, *options); };
  });
}

}  // namespace flodea::cli
