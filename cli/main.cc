// flodea: the operators' command line. What it does is in commands/, one file a verb.
#include <algorithm>
#include <cstdlib>

#include "cli/commands/choice.h"
#include "cli/commands/commands.h"
#include "cli/commands/usage.h"

namespace flodea::cli {
namespace {

constexpr char kFooter[] =
    "Exit status: 0 done, 1 refused or failed, 2 usage, 3 supervisor not reachable (diff: 0 same, "
    "1 "
    "different, more: an error).\n"
    "Example:     flodea run ./ledger && flodea ps && flodea logs ledger -f";

void add_globals(CLI::App& app, Session& session) {
  app.add_option("--socket", session.socket, "The supervisor's socket")
      ->envname("FLODEA_SOCKET")
      ->capture_default_str()
      ->type_name("PATH");
  add_choice<Format>(app, "-o,--output", session.format,
                     {{"table", Format::kTable}, {"json", Format::kJson}, {"yaml", Format::kYaml}},
                     "table, json or yaml")
      ->type_name("FORMAT");
}

void add_commands(CLI::App& app, Session& session, Action& action) {
  add_apply(app, session, action);
  add_run(app, session, action);
  add_ps(app, session, action);
  add_inspect(app, session, action);
  add_logs(app, session, action);
  add_events(app, session, action);
  add_power(app, session, action);
  add_rm(app, session, action);
  add_top(app, session, action);
  add_diff(app, session, action);
  add_revisions(app, session, action);
  add_rollout(app, session, action);
  add_node(app, session, action);
  add_reload(app, session, action);
  add_version(app, session, action);
}

int main(int argc, char** argv) {
  CLI::App app("Runs autonomous agents in sandboxes: the operators' side", "flodea");
  Session session;
  Action action;
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("flodea ") + FLODEA_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // -o and --socket may follow the verb
  add_globals(app, session);
  add_commands(app, session, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    say_error(usage_error(app, e));
    return static_cast<int>(Exit::kUsage);
  }
  auto done = action();
  if (done) return static_cast<int>(session.exit);
  session.progress.clear();
  say_error(done.error());
  return std::max(static_cast<int>(exit_of(done.error())), static_cast<int>(session.least_error));
}

}  // namespace
}  // namespace flodea::cli

int main(int argc, char** argv) { return flodea::cli::finish(flodea::cli::main(argc, argv)); }
