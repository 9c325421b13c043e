// state.db: agents, their revisions and what the state machine remembers of them; the source of
// truth. SQLite in WAL mode. Owner: the core thread alone. The event log keeps its own tables in
// the same file, over a connection of its own. A desired state is fsynced before it is answered
// (kDurable); a change of state is written but not fsynced (kFast): it survives the death of
// control, and after the death of the host no instance exists anyway. A file that is truncated, of
// another program or of a later version is refused with one message that names it and the remedy.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/sqlite.h"
#include "policy/agent_spec.h"
#include "supervisor/control/lifecycle/machine.h"

namespace flodea::control {

enum class Removal { kNone, kAll, kKeepData };

struct StoredAgent {
  AgentId id;
  AgentManifest manifest;  // of the current revision
  std::uint64_t revision = 1;
  std::uint64_t proven_revision = 0;    // the last one that ran well; 0: none has yet
  std::uint64_t observed_revision = 0;  // that the last instance was started with
  Nanos created{};                      // wall
  bool desired_running = true;
  std::uint64_t incarnation = 1;
  Removal removal = Removal::kNone;
  bool volume_made = false;
  Record record;        // `due` is not kept: it is monotonic time
  Nanos state_since{};  // wall
  Nanos next_start{};   // wall, in kBackoff
  std::string boot_id;  // of the host when the record was written
};

// A manifest that an agent has or had.
struct StoredRevision {
  std::uint64_t revision = 1;
  Nanos created{};     // wall; 0 where an earlier build stored it
  std::string author;  // "uid 1000"
  AgentManifest manifest;
};

// Who asks for what is stored, and when.
struct Signature {
  std::string author;
  Nanos created{};  // wall
};

// A volume that `rm --keep-data` left for the next agent of its name.
struct KeptVolume {
  std::string name;
  AgentId id;
  std::uint64_t disk_bytes = 0;
  Generation generation;  // the next agent's instances count on from here
  bool made = true;       // false: it may be there
};

using CrashCounts = std::map<AgentId, std::uint32_t>;

enum class Durability { kFast, kDurable };

class StateDb {
 public:
  static constexpr int kSchemaVersion = 4;
  static constexpr int kRevisionsKept = 100;  // of each agent
  static constexpr int kBundlesKept = 10;     // revisions of each agent whose bundles stay

  // Makes the file if it is not there. kDataLoss: not a usable state.db; the message says what to
  // do.
  static Result<StateDb> open(const std::string& path);

  Result<std::vector<StoredAgent>> load();
  // The whole row, and the manifest as its revision.
  Status save(const StoredAgent& agent, Durability durability, const Signature& signature = {});
  // The machine's part of the row only: on the path of every start.
  Status save_state(const StoredAgent& agent, Durability durability);
  // The manifest of a revision; nothing when it is no longer kept.
  Result<std::optional<AgentManifest>> manifest_of(const AgentId& agent, std::uint64_t revision);
  // Forgets the agent; with a volume to keep, that stands under the agent's name afterwards. One
  // transaction.
  Status remove(const StoredAgent& agent, const std::optional<KeptVolume>& keep);
  Result<std::optional<KeptVolume>> kept_volume(const std::string& name);
  Result<std::vector<KeptVolume>> kept_volumes();  // that no agent has; by name
  // Those that are kept, newest first.
  Result<std::vector<StoredRevision>> revisions(const AgentId& agent);
  // Whose calls control was at when it crashed: adds this crash, and says of each at how many in a
  // row, up to this one, it was there.
  Result<CrashCounts> count_crash(const std::set<AgentId>& suspects);
  Status forget_crashes();
  // Of the last kBundlesKept revisions of every agent.
  Result<std::set<BundleDigest>> kept_bundles();

 private:
  struct Statements {
    sqlite::Statement upsert, revision, prune, state;
  };
  StateDb(std::string path, sqlite::Database db, Statements statements);
  Result<std::vector<StoredAgent>> read_agents();
  Status set_durability(Durability durability);

  std::string path_;
  sqlite::Database db_;
  Statements statements_;
  Durability durability_ = Durability::kDurable;
};

}  // namespace flodea::control
