// Revisions of agents on the wire. Pure: no gRPC.
#pragma once

#include <vector>

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

// `wanted` 0: all; else that one, with its manifest. kNotFound: it is not among them.
Result<operators::v1::ListRevisionsResponse> encode_revisions(
    const std::vector<RevisionView>& revisions, std::uint64_t wanted);

}  // namespace flodea::control
