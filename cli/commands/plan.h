// What an apply would do, agent by agent: of apply --plan and of diff.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/session.h"

namespace flodea::cli {

// `previews` as preview_batch has them; `removed` are names of agents that go.
Status print_plan(Session& session, const std::vector<operators::v1::ApplyResponse>& previews,
                  const std::vector<std::string>& removed);

}  // namespace flodea::cli
