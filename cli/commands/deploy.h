// From a manifest to an agent: its bundle scanned and sent, then Apply. Shared by apply and run.
#pragma once

#include <string>

#include "cli/bundle/walk.h"
#include "cli/commands/session.h"
#include "cli/manifest/manifest.h"

namespace flodea::cli {

struct Deployment {
  Manifest manifest;
  BundleTree bundle;    // empty where the manifest names a digest
  bool stored = false;  // it does
};

// Finds the bundle beside the manifest and judges it; sends nothing.
Result<Deployment> prepare(Manifest manifest, const std::string& base_directory);

enum class Wish { kApply, kApplyAndWait, kRun };
// Sends and applies; prints "NAME created".
Status deploy(Session& session, Deployment deployment, Wish wish);

}  // namespace flodea::cli
