// From a manifest to an agent: its bundle scanned and sent, then Apply. Shared by apply and run.
#pragma once

#include <optional>
#include <string>

#include "cli/bundle/walk.h"
#include "cli/commands/session.h"
#include "cli/manifest/manifest.h"

namespace flodea::cli {

struct Deployment {
  Manifest manifest;
  BundleTree bundle;    // empty where the manifest names a digest
  bool stored = false;  // it does
  std::optional<operators::v1::ApplyResponse> applied;
};

// Finds the bundle beside the manifest and judges it; sends nothing.
Result<Deployment> prepare(Manifest manifest, const std::string& base_directory);

// Sends its bundle, which stays even where no agent needs it in the end (for an hour, or so); the
// manifest names its digest from then on.
Status upload(Session& session, Deployment& deployment);

enum class Wish { kApply, kApplyAndWait, kRun };
// Sends and applies; prints "NAME created".
Status deploy(Session& session, Deployment& deployment, Wish wish);
// After that: waits until what was applied runs, or is proven; prints "NAME running".
Status await(Session& session, Deployment& deployment);

}  // namespace flodea::cli
