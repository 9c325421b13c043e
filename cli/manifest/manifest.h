// A manifest file as the message the supervisor takes. Every name is checked against the proto's
// descriptors, so that a field added there is known here; quantities, bounds and defaults are the
// supervisor's to judge. No gRPC: this is what is fuzzed.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "flodea/operators/v1/spec.pb.h"

namespace flodea::cli {

struct Manifest {
  operators::v1::AgentManifest message;
  std::string file;
  std::map<std::string, int> lines;  // field path ("spec.resources.memory") → line

  // The line of a field, or of what it stands in, or 0.
  int line_of(std::string_view field) const;
  // An error of the supervisor's with "FILE:LINE: " in front, where its field stands in this file.
  Error locate(Error error) const;
};

// `file` is for messages alone. Errors: INVALID_ARGUMENT, "FILE:LINE: …", with a remedy.
Result<Manifest> parse_manifest(std::string_view text, std::string_view file);
// Reads at most 64 KiB of `path`; "-" is what stands on stdin.
Result<Manifest> load_manifest(const std::string& path);

}  // namespace flodea::cli
