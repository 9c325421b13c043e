// Which agents a command is about: by name, by label, or all.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/commands/session.h"
#include "cli/order/order.h"

namespace flodea::cli {

struct Targets {
  std::vector<std::string> names;
  std::string selector;
  bool all = false;
  bool by_selector = false;  // set by `check`: the selector decides, not names
};

// NAME... and -l. What is malformed is a usage error.
void add_targets(CLI::App& command, Targets& targets);
// The same for what changes agents: one of NAME, -l, --all is needed, and a selector that means
// every agent is refused without --all. Call `check_changing` in the command's callback.
void add_changing_targets(CLI::App& command, Targets& targets);
void check_changing(const CLI::App& command, Targets& targets);

// As the supervisor says it.
tl::unexpected<Error> no_such_agent(const std::string& name);

// -l alone.
void add_selector(CLI::App& command, std::string& selector);

// All pages as one list.
Result<operators::v1::ListResponse> list_agents(Client& client, const std::string& selector = {});
using AgentsByName = std::map<std::string, operators::v1::Agent>;
Result<AgentsByName> agents_by_name(Client& client, const std::string& selector = {});
After after_of(const AgentsByName& agents);
// On stderr, where a selector selects none; that is no error.
void say_none_selected();
// Each once; by name where a selector decides. None selected: says so.
Result<std::vector<std::string>> names_of(Session& session, const Targets& targets);

}  // namespace flodea::cli
