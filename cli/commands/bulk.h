// The same for many agents, several at a time. Each outcome is told as it comes.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/commands/session.h"

namespace flodea::cli {

using Precedence = std::map<std::string, std::set<std::string>>;

// What `one` returns is printed. The error of a single agent is the command's; of several each is
// said on stderr, and the error counts them. No agent: says so on stderr, and that is no error.
// An agent's turn comes when `before[name]` are done, or have failed.
Status for_each_agent(Session& session, const std::vector<std::string>& names,
                      const std::function<Result<std::string>(const std::string& name)>& one,
                      Precedence before = {});
// For several: those that each of them is stopped before.
Result<Precedence> stop_precedence(Session& session, const std::vector<std::string>& names);

}  // namespace flodea::cli
