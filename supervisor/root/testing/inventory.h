// All that a start makes and that could be left, of the host and of flodead. Only what belongs to
// this flodead is listed: others may run supervisors and tests beside it.
#pragma once

#include <string>
#include <vector>

#include "supervisor/root/testing/flodead_host.h"

namespace flodea::root::testing {

using Inventory = std::vector<std::string>;  // a line each

Inventory take_inventory(FlodeadHost& host);

// The lines by which two differ, "+" before those that came and "-" before those that went; "":
// none.
std::string difference(const Inventory& before, const Inventory& after);

}  // namespace flodea::root::testing
