// The verbs of `flodea`, one file each. Each adds its subcommand; when the command line names it,
// `action` becomes what it does.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/commands/session.h"

namespace flodea::cli {

void add_apply(CLI::App& app, Session& session, Action& action);
void add_run(CLI::App& app, Session& session, Action& action);
void add_ps(CLI::App& app, Session& session, Action& action);
void add_inspect(CLI::App& app, Session& session, Action& action);
void add_logs(CLI::App& app, Session& session, Action& action);
void add_events(CLI::App& app, Session& session, Action& action);
void add_top(CLI::App& app, Session& session, Action& action);
void add_diff(CLI::App& app, Session& session, Action& action);
void add_revisions(CLI::App& app, Session& session, Action& action);  // revisions, rollback
void add_rollout(CLI::App& app, Session& session, Action& action);    // rollout status
void add_power(CLI::App& app, Session& session, Action& action);      // start, stop, restart
void add_reload(CLI::App& app, Session& session, Action& action);
void add_rm(CLI::App& app, Session& session, Action& action);
void add_node(CLI::App& app, Session& session, Action& action);
void add_version(CLI::App& app, Session& session, Action& action);

}  // namespace flodea::cli
