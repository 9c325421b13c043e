// What flodead does before it serves: undoes what an earlier life left, and lets helpers find
// runtimes and compile filters.
#pragma once

#include <map>
#include <set>

#include "base/cgroup.h"
#include "flodea/root/v1/root.pb.h"
#include "supervisor/root/helpers.h"
#include "supervisor/root/journal.h"
#include "supervisor/root/uid_ranges.h"

namespace flodea::root {

// The group of flodea-vault and flodea-control.
inline constexpr const char* kServicesGroup = "services";

// Agents first (their volumes need a vault that answers), then services; groups, uid ranges and
// journal entries go with them. Not those of the groups in `taken_over`. Blocks, with a deadline
// per group: nothing is served yet.
Status undo_earlier_life(const CgroupTree& cgroups, UidRanges& uids, const Journal& journal,
                         const std::string& boot_id, const std::set<std::string>& taken_over = {});

// The folder of Flodea's programs, with `agent`, the tree that agents see, in it.
struct ProgramsDir {
  int fd = -1;
  std::string path;
};

// Fills `filters` by profile name and the host's runtimes. A runtime that is not there is left out;
// a profile that does not compile is an error.
Async<void> discover(Helpers& helpers, const ProgramsDir& programs,
                     std::map<std::string, UniqueFd>& filters, v1::Host& host);

}  // namespace flodea::root
