// The same for many agents, several at a time. Each outcome is told as it comes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/commands/session.h"
#include "cli/order/order.h"

namespace flodea::cli {

// What `one` returns is printed. The error of a single agent is the command's; of several each is
// said on stderr, and the error counts them. No agent is no error.
// An agent's turn comes when `before[name]` are done, or have failed.
Status for_each_agent(Session& session, const std::vector<std::string>& names,
                      const std::function<Result<std::string>(const std::string& name)>& one,
                      Precedence before = {});
// Behind those they come after: with some at a time, who waits for another never keeps it from
// its turn.
Result<Names> in_start_order(Session& session, const Names& names);
// For several: those that each of them is stopped before.
Result<Precedence> stop_precedence(Session& session, const std::vector<std::string>& names);

}  // namespace flodea::cli
