// After a kill -9 of flodead: its workers and its vault go on, and this takes from them what it
// kept (pidfd_getfd(2)). Which process and which agent is read from the journal, root's own, and
// checked against the cgroups; what stands at a worker's or the vault's descriptors is checked by
// type, and never read. What does not fit in every point is left for `undo_earlier_life`. Blocks
// for nothing; nothing is served yet.
//
// What weakens isolation: a vault that has fallen to an attacker could name another agent's
// /dev/fuse for an agent; it holds every volume's key in any case.
#pragma once

#include <map>
#include <set>

#include "base/cgroup.h"
#include "base/ids.h"
#include "supervisor/root/earlier_life.h"
#include "supervisor/root/journal.h"

namespace flodea::root {

struct TakeoverParts {
  const CgroupTree& cgroups;
  const Journal& journal;
  std::string boot_id;
  uid_t vault_user = 0;
  bool can_resume = false;  // the kernel can continue a vault
};

// The instances that go on; the epoch in any case.
Result<EarlierLife> take_over(const TakeoverParts& parts);

// ---- its parts, for tests

// Whether an entry is of this boot, of an agent that ran, and fits the name it is kept under.
Status check_entry(const JournalEntry& entry, const std::string& boot_id);
// The worker's descriptors, as fd_layout::worker has them. The last check of its identity, that the
// process is still in `group`, is made after the pidfd was opened.
Result<InstanceDescriptors> take_from_worker(pid_t pid, const Cgroup& group);
// From the vault among the processes of `services`: by agent. Empty: no vault lives. One that has
// just begun is given a few seconds to take up the volumes of `wanted`.
Result<std::map<AgentId, UniqueFd>> take_from_vault(const Cgroup& services, uid_t vault_user,
                                                    const std::set<AgentId>& wanted);

}  // namespace flodea::root
