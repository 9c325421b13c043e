// What `--check-state` does: whether this flodead and the programs beside it could go on from the
// state of the one that asks. Nothing is touched.
#pragma once

#include "flodea/root/v1/kept.pb.h"
#include "supervisor/root/config.h"

namespace flodea::root {

Status check_state(const Config& config, const v1::KeptState& state);

}  // namespace flodea::root
