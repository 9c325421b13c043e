#include "supervisor/control/state/state_db.h"

#include "supervisor/control/state/manifest_codec.h"
#include "supervisor/control/state/state_schema.h"

namespace flodea::control {
namespace {

using sqlite::Statement;

// The machine's part, in this order in every statement that writes it.
const std::string kStateColumns =
    "state=?2, reason=?3, message=?4, generation=?5, started_incarnation=?6, in_a_row=?7, "
    "failures=?8, restarts=?9, stop_cause=?10, "
    "after=?11, exit_code=?12, state_since=?13, next_start=?14, boot_id=?15, volume_made=?16, "
    "observed_revision=?17";

const std::string kUpdateState = "UPDATE agents SET " + kStateColumns + " WHERE id=?1";
const std::string kUpsert =
    "INSERT INTO agents (id, state, reason, message, generation, started_incarnation, in_a_row, "
    "failures, restarts, stop_cause, after, "
    "exit_code, state_since, next_start, boot_id, volume_made, observed_revision, name, revision, "
    "created, desired_running, incarnation, removal, "
    "proven_revision) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, "
    "?20, ?21, ?22, ?23, ?24) "
    "ON CONFLICT (id) DO UPDATE SET " +
    kStateColumns +
    ", revision=?19, desired_running=?21, incarnation=?22, removal=?23, "
    "proven_revision=?24";
constexpr const char* kInsertRevision =
    "INSERT INTO revisions (agent, revision, manifest, created, author, bundle) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
constexpr const char* kPruneRevisions =
    "DELETE FROM revisions WHERE agent=?1 AND revision<=?2 AND revision<>?3";
constexpr const char* kLoad =
    "SELECT a.id, a.state, a.reason, a.message, a.generation, a.started_incarnation, a.in_a_row, "
    "a.failures, a.restarts, a.stop_cause, "
    "a.after, a.exit_code, a.state_since, a.next_start, a.boot_id, a.volume_made, a.revision, "
    "a.created, a.desired_running, "
    "a.incarnation, a.removal, r.manifest, a.proven_revision, a.observed_revision "
    "FROM agents a LEFT JOIN revisions r ON r.agent=a.id AND r.revision=a.revision ORDER BY a.name";

template <class T>
std::int64_t number(T value) {
  return static_cast<std::int64_t>(value);
}

template <class T>
void bind_optional(Statement& s, int index, const std::optional<T>& value) {
  if (value) {
    s.bind(index, number(*value));
  } else {
    s.bind_null(index);
  }
}

void bind_state(Statement& s, const StoredAgent& agent) {
  const Record& r = agent.record;
  s.bind(1, agent.id.text())
      .bind(2, number(r.state))
      .bind(3, number(r.reason))
      .bind(4, r.message)
      .bind(5, number(r.generation.value));
  s.bind(6, number(r.incarnation))
      .bind(7, number(r.in_a_row))
      .bind(8, number(r.failures))
      .bind(9, number(r.restarts));
  s.bind(10, number(r.stop_cause));
  bind_optional(s, 11, r.after);
  bind_optional(s, 12, r.exit_code);
  s.bind(13, agent.state_since.count())
      .bind(14, agent.next_start.count())
      .bind(15, agent.boot_id)
      .bind(16, number(agent.volume_made))
      .bind(17, number(agent.observed_revision));
}

// An enumerator from the file, in range.
template <class E>
Result<E> enumerator(std::int64_t value, E last) {
  if (value < 0 || value > number(last))
    return fail(Code::kDataLoss, "state.db holds a value that no build writes");
  return static_cast<E>(value);
}

Result<Record> read_record(const Statement& row) {
  Record r;
  r.state = TRY(enumerator(row.integer(1), AgentState::kFailed));
  r.reason = TRY(enumerator(row.integer(2), Reason::kQuarantine));
  r.message = row.text(3);
  r.generation = {static_cast<std::uint64_t>(row.integer(4))};
  r.incarnation = static_cast<std::uint64_t>(row.integer(5));
  r.in_a_row = static_cast<std::uint32_t>(row.integer(6));
  r.failures = static_cast<std::uint32_t>(row.integer(7));
  r.restarts = static_cast<std::uint32_t>(row.integer(8));
  r.stop_cause = TRY(enumerator(row.integer(9), StopCause::kUnhealthy));
  if (!row.is_null(10)) r.after = TRY(enumerator(row.integer(10), AgentState::kFailed));
  if (!row.is_null(11)) r.exit_code = static_cast<int>(row.integer(11));
  return r;
}

Result<StoredAgent> read_agent(const Statement& row) {
  StoredAgent agent;
  agent.id = TRY(AgentId::parse(row.text(0)));
  agent.record = TRY(read_record(row));
  agent.state_since = Nanos(row.integer(12));
  agent.next_start = Nanos(row.integer(13));
  agent.boot_id = row.text(14);
  agent.volume_made = row.integer(15) != 0;
  agent.revision = static_cast<std::uint64_t>(row.integer(16));
  agent.created = Nanos(row.integer(17));
  agent.desired_running = row.integer(18) != 0;
  agent.incarnation = static_cast<std::uint64_t>(row.integer(19));
  agent.removal = TRY(enumerator(row.integer(20), Removal::kKeepData));
  if (row.is_null(21))
    return fail(Code::kDataLoss, "state.db has lost the manifest of agent " + agent.id.text());
  agent.manifest = TRY(restore_manifest(row.text(21)));
  agent.proven_revision = static_cast<std::uint64_t>(row.integer(22));
  agent.observed_revision = static_cast<std::uint64_t>(row.integer(23));
  return agent;
}

Status run_with(sqlite::Database& db, std::string_view sql, const std::string& parameter) {
  auto statement = TRY(db.prepare(sql));
  return statement.bind(1, parameter).run();
}

Result<KeptVolume> read_kept(const Statement& row) {
  return KeptVolume{.name = row.text(0),
                    .id = TRY(AgentId::parse(row.text(1))),
                    .disk_bytes = static_cast<std::uint64_t>(row.integer(2)),
                    .generation = {static_cast<std::uint64_t>(row.integer(3))},
                    .made = row.integer(4) != 0};
}

}  // namespace

Result<StateDb> StateDb::open(const std::string& path) {
  auto db = TRY(open_state_file(path));
  Statements statements{.upsert = TRY(db.prepare(kUpsert)),
                        .revision = TRY(db.prepare(kInsertRevision)),
                        .prune = TRY(db.prepare(kPruneRevisions)),
                        .state = TRY(db.prepare(kUpdateState))};
  return StateDb(path, std::move(db), std::move(statements));
}

StateDb::StateDb(std::string path, sqlite::Database db, Statements statements)
    : path_(std::move(path)), db_(std::move(db)), statements_(std::move(statements)) {}

Status StateDb::set_durability(Durability durability) {
  if (durability == durability_) return {};
  TRY(db_.exec(durability == Durability::kDurable ? "PRAGMA synchronous=FULL"
                                                  : "PRAGMA synchronous=NORMAL"));
  durability_ = durability;
  return {};
}

Result<std::vector<StoredAgent>> StateDb::load() {
  auto agents = read_agents();
  if (!agents && agents.error().code == Code::kDataLoss)
    return unusable_state(path_, "is damaged (" + agents.error().message + ")");
  return agents;
}

Result<std::vector<StoredAgent>> StateDb::read_agents() {
  auto rows = TRY(db_.prepare(kLoad));
  std::vector<StoredAgent> agents;
  while (TRY(rows.step())) agents.push_back(TRY(read_agent(rows)));
  return agents;
}

Status StateDb::save(const StoredAgent& agent, Durability durability, const Signature& signature) {
  TRY(set_durability(durability));
  auto transaction = TRY(sqlite::Transaction::begin(db_));
  Statement& row = statements_.upsert;
  bind_state(row, agent);
  row.bind(18, agent.manifest.name)
      .bind(19, number(agent.revision))
      .bind(20, agent.created.count());
  row.bind(21, number(agent.desired_running))
      .bind(22, number(agent.incarnation))
      .bind(23, number(agent.removal))
      .bind(24, number(agent.proven_revision));
  TRY(row.run());
  TRY(statements_.revision.bind(1, agent.id.text())
          .bind(2, number(agent.revision))
          .bind(3, store_manifest(agent.manifest))
          .bind(4, signature.created.count())
          .bind(5, signature.author)
          .bind(6, agent.manifest.spec.bundle.empty() ? "" : agent.manifest.spec.bundle.text())
          .run());
  TRY(statements_.prune.bind(1, agent.id.text())
          .bind(2, number(agent.revision) - kRevisionsKept)
          .bind(3, number(agent.proven_revision))
          .run());
  return transaction.commit();
}

Status StateDb::save_state(const StoredAgent& agent, Durability durability) {
  TRY(set_durability(durability));
  bind_state(statements_.state, agent);
  return statements_.state.run();
}

Result<std::optional<AgentManifest>> StateDb::manifest_of(const AgentId& agent,
                                                          std::uint64_t revision) {
  auto row = TRY(db_.prepare("SELECT manifest FROM revisions WHERE agent=?1 AND revision=?2"));
  row.bind(1, agent.text()).bind(2, number(revision));
  if (!TRY(row.step())) return std::nullopt;
  AgentManifest manifest = TRY(restore_manifest(row.text(0)));
  return manifest;
}

Status StateDb::remove(const StoredAgent& agent, const std::optional<KeptVolume>& keep) {
  TRY(set_durability(Durability::kDurable));
  auto transaction = TRY(sqlite::Transaction::begin(db_));
  TRY(run_with(db_, "DELETE FROM agents WHERE id=?1", agent.id.text()));
  TRY(run_with(db_, "DELETE FROM kept_volumes WHERE name=?1", agent.manifest.name));
  if (keep) {
    auto row = TRY(db_.prepare(
        "INSERT INTO kept_volumes (name, id, disk, generation, made) VALUES (?1, ?2, ?3, ?4, ?5)"));
    row.bind(1, agent.manifest.name)
        .bind(2, keep->id.text())
        .bind(3, number(keep->disk_bytes))
        .bind(4, number(keep->generation.value))
        .bind(5, number(keep->made));
    TRY(row.run());
  }
  return transaction.commit();
}

Result<std::optional<KeptVolume>> StateDb::kept_volume(const std::string& name) {
  auto row =
      TRY(db_.prepare("SELECT name, id, disk, generation, made FROM kept_volumes WHERE name=?1"));
  row.bind(1, name);
  if (!TRY(row.step())) return std::nullopt;
  KeptVolume kept = TRY(read_kept(row));
  return kept;
}

Result<std::vector<KeptVolume>> StateDb::kept_volumes() {
  auto rows =
      TRY(db_.prepare("SELECT name, id, disk, generation, made FROM kept_volumes WHERE id NOT IN "
                      "(SELECT id FROM agents) ORDER BY name"));
  std::vector<KeptVolume> out;
  while (TRY(rows.step())) out.push_back(TRY(read_kept(rows)));
  return out;
}

Result<std::vector<StoredRevision>> StateDb::revisions(const AgentId& agent) {
  auto rows = TRY(
      db_.prepare("SELECT revision, created, author, manifest FROM revisions WHERE agent=?1 ORDER "
                  "BY revision DESC"));
  rows.bind(1, agent.text());
  std::vector<StoredRevision> out;
  while (TRY(rows.step())) {
    out.push_back({.revision = static_cast<std::uint64_t>(rows.integer(0)),
                   .created = Nanos(rows.integer(1)),
                   .author = rows.text(2),
                   .manifest = TRY(restore_manifest(rows.text(3)))});
  }
  return out;
}

Result<CrashCounts> StateDb::count_crash(const std::set<AgentId>& suspects) {
  TRY(set_durability(Durability::kDurable));
  auto transaction = TRY(sqlite::Transaction::begin(db_));
  CrashCounts counts;
  for (const AgentId& agent : suspects) counts[agent] = 1;
  {
    auto rows = TRY(db_.prepare("SELECT agent, crashes FROM crash_suspects"));
    while (TRY(rows.step())) {
      auto again = counts.find(TRY(AgentId::parse(rows.text(0))));
      if (again != counts.end()) again->second += static_cast<std::uint32_t>(rows.integer(1));
    }
  }
  TRY(db_.exec("DELETE FROM crash_suspects"));
  auto insert = TRY(db_.prepare("INSERT INTO crash_suspects (agent, crashes) VALUES (?1, ?2)"));
  for (const auto& [agent, crashes] : counts)
    TRY(insert.bind(1, agent.text()).bind(2, number(crashes)).run());
  TRY(transaction.commit());
  return counts;
}

Status StateDb::forget_crashes() {
  TRY(set_durability(Durability::kDurable));
  return db_.exec("DELETE FROM crash_suspects");
}

Result<std::set<BundleDigest>> StateDb::kept_bundles() {
  auto rows =
      TRY(db_.prepare("SELECT DISTINCT r.bundle FROM agents a JOIN revisions r ON r.agent=a.id AND "
                      "r.revision > a.revision - ?1 WHERE r.bundle <> ''"));
  rows.bind(1, number(kBundlesKept));
  std::set<BundleDigest> out;
  while (TRY(rows.step())) out.insert(TRY(BundleDigest::parse(rows.text(0))));
  return out;
}

}  // namespace flodea::control
