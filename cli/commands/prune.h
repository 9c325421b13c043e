// apply --prune: agents that are in no manifest of the directory go.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/batch.h"

namespace flodea::cli {

// Those that `selector` selects and `deployments` does not name, by name. Refused: it would be
// every agent there is.
Result<std::vector<std::string>> to_prune(Client& client,
                                          const std::vector<Deployment>& deployments,
                                          const std::string& selector);

enum class Data { kKept, kDestroyed };
Status prune(Session& session, const std::vector<std::string>& names, Data data);

}  // namespace flodea::cli
