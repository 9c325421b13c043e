// The manifests that `-f FILE|DIR` names, all read and judged before any is used.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/deploy.h"

namespace flodea::cli {

enum class Depth { kFlat, kRecursive };

// Files ("-": stdin), and of directories their *.yaml, sorted by path. Errors: none there, a name
// twice, what is wrong with one, and more than can be judged together.
Result<std::vector<Deployment>> read_batch(const std::vector<std::string>& paths, Depth depth);

// Sends every bundle, then has all manifests judged together by the supervisor; the answers, in
// order.
Result<std::vector<operators::v1::ApplyResponse>> preview_batch(
    Session& session, std::vector<Deployment>& deployments);

// As they are to be applied: each behind those it comes after.
Status sort_batch(Client& client, std::vector<Deployment>& deployments);

}  // namespace flodea::cli
