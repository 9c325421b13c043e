// What this host offers and can enforce, probed once.
#pragma once

#include "base/cgroup.h"
#include "flodea/root/v1/root.pb.h"

namespace flodea::root {

// Everything but what helpers find (runtimes, filters) and what changes (free space).
Result<v1::Host> probe_host(const CgroupTree& cgroups, std::uint32_t uid_ranges);

Result<std::string> read_boot_id();

// This process's place in the host's hierarchies.
Result<CgroupHierarchies> find_hierarchies();

// A name for this supervisor's groups, the same in each of its lives: a hash of its run directory.
std::string group_name(const std::string& run_path);

// A user namespace that maps 0 to this user and nothing else: what the store's mount is mapped by.
Result<UniqueFd> make_user_namespace(uid_t uid, gid_t gid);

}  // namespace flodea::root
