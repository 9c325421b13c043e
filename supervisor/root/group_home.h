// Where the groups of a run directory are: below the group that its first flodead was started in.
// One that follows a killed one may be started from anywhere (another session, another unit); it
// must find the same groups, or two lives of an agent could have one volume.
#pragma once

#include <string>

#include "base/cgroup.h"
#include "supervisor/root/journal.h"

namespace flodea::root {

// `own` becomes what an earlier flodead of this boot wrote down, if its group `flodea-<name>` is
// still there in any hierarchy; what counts is written down.
Result<CgroupHierarchies> settle_group_home(CgroupHierarchies here, const std::string& name,
                                            const Journal& journal, const std::string& boot_id);

// One line for the boot, one for each hierarchy.
std::string encode_home(const CgroupHierarchies& hierarchies, const std::string& boot_id);
// False, and nothing changed: it is of another boot, or no home.
bool decode_home(std::string_view text, const std::string& boot_id, CgroupHierarchies& hierarchies);

}  // namespace flodea::root
