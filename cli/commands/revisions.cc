// revisions, rollback: the manifests that an agent has had, and the way back to one.
#include <fmt/format.h>

#include <memory>

#include "base/number.h"
#include "cli/commands/commands.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct RevisionsOptions {
  std::string name;
  std::uint64_t revision = 0;
  bool wait = false;
};

std::string check_revision(const std::string& text) {
  if (parse_number<std::uint64_t>(text).value_or(0) > 0) return "";
  return "\"" + text + "\" is no revision: they are whole numbers from 1";
}

Status revisions(Session& session, const RevisionsOptions& options) {
  Client* client = TRY(session.client());
  pb::ListRevisionsRequest request;
  request.set_name(options.name);
  request.set_revision(options.revision);
  auto list = TRY(client->call(&pb::Operators::Stub::ListRevisions, request));
  if (!session.table())
    print(render(list, session.format));
  else if (options.revision != 0)
    print(manifest_yaml(list.revisions(0).manifest()));
  else
    print(revisions_table(list, session.now()));
  return {};
}

Status rollback(Session& session, const RevisionsOptions& options) {
  Client* client = TRY(session.client());
  pb::RollbackRequest request;
  request.set_name(options.name);
  request.set_revision(options.revision);
  request.set_wait(options.wait);
  std::unique_ptr<TransitionWatch> watch;
  if (options.wait) watch = std::make_unique<TransitionWatch>(session, *client, options.name);
  auto answer = client->call(&pb::Operators::Stub::Rollback, request);
  watch.reset();
  if (!answer) return tl::unexpected(std::move(answer).error());
  if (!session.table())
    print(render_item(*answer, session.format));
  else if (answer->outcome() == pb::ApplyResponse::OUTCOME_UNCHANGED)
    print(fmt::format("{} unchanged: it is so already\n", options.name));
  else
    print(
        fmt::format("{} rolled back, as revision {}\n", options.name, answer->agent().revision()));
  return options.wait ? check_arrived(answer->agent()) : Status();
}

}  // namespace

void add_revisions(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<RevisionsOptions>();
  auto* list = app.add_subcommand("revisions", "List the manifests that an agent has had");
  list->add_option("name", options->name, "The agent")->required()->type_name("NAME");
  list->add_option("--revision", options->revision, "Show this one")
      ->type_name("N")
      ->check(check_revision);
  list->callback([&session, &action, options] {
    action = [&session, options] { return revisions(session, *options); };
  });
  auto* back = app.add_subcommand("rollback", "Apply an agent's earlier manifest again");
  back->add_option("name", options->name, "The agent")->required()->type_name("NAME");
  back->add_option("--to", options->revision, "Its revision (default: the one before the current)")
      ->type_name("N")
      ->check(check_revision);
  back->add_flag("--wait", options->wait, "Return once it runs");
  back->callback([&session, &action, options] {
    action = [&session, options] { return rollback(session, *options); };
  });
}

}  // namespace flodea::cli
