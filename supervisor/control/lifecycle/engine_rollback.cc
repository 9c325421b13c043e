// Engine: the manifests an agent has had, and the way back to one.
#include "base/sha256.h"
#include "supervisor/control/lifecycle/engine_agent.h"
#include "supervisor/control/state/manifest_codec.h"

namespace flodea::control {
namespace {

using Revisions = std::vector<StoredRevision>;

tl::unexpected<Error> no_revision(const std::string& name, std::uint64_t wanted,
                                  const Revisions& kept) {
  std::string which = wanted == 0 ? "no earlier revision" : "no revision " + std::to_string(wanted);
  std::string range = "revision " + std::to_string(kept.front().revision) + " alone is kept";
  if (kept.size() > 1) {
    range = "revisions " + std::to_string(kept.back().revision) + " to " +
            std::to_string(kept.front().revision) + " are kept";
  }
  Error error = fail(Code::kNotFound, "agent " + name + " has " + which + "; its " + range).value();
  return tl::unexpected<Error>(std::move(error)
                                   .with_field("revision")
                                   .with_remedy("`flodea revisions " + name + "` lists them"));
}

// 0: the newest that is older than the current one.
Result<StoredRevision> choose(const RollbackOrder& order, std::uint64_t current,
                              const Revisions& kept) {
  for (const StoredRevision& revision : kept) {
    bool meant =
        order.revision == 0 ? revision.revision < current : revision.revision == order.revision;
    if (meant) return revision;
  }
  return no_revision(order.name, order.revision, kept);
}

}  // namespace

void Engine::rollback(RollbackOrder order, Asked asked, Callback<ApplyOutcome> done) {
  when_open([this, order = std::move(order), asked = std::move(asked), done = std::move(done)] {
    auto back = revision_for(order);
    if (!back) return done(tl::unexpected(std::move(back).error()));
    enqueue(std::make_shared<Applying>(
        Applying{.manifest = std::move(back->manifest),
                 .options = {.wait = asked.wait, .by = asked.by, .wanted = asked.wanted},
                 .done = done,
                 .asked = parts_.clock.boot(),
                 .back_to = back->revision}));
  });
}

Result<StoredRevision> Engine::revision_for(const RollbackOrder& order) {
  Agent* agent = TRY(agent_for(order.name));
  auto kept = TRY(parts_.db.revisions(agent->stored.id));
  StoredRevision back = TRY(choose(order, agent->stored.revision, kept));
  if (Status stored = parts_.check_spec(back.manifest.spec); !stored) {
    Error error =
        fail(Code::kFailedPrecondition, "agent " + order.name + " cannot go back to revision " +
                                            std::to_string(back.revision) + ": its bundle " +
                                            back.manifest.spec.bundle.text() + " is gone")
            .value();
    return tl::unexpected(
        std::move(error)
            .with_field("revision")
            .with_remedy("apply its manifest again where its bundle is; bundles of the last " +
                         std::to_string(StateDb::kBundlesKept) + " revisions are kept"));
  }
  return back;
}

void Engine::revisions(std::string name, Callback<std::vector<RevisionView>> done) {
  when_open([this, name = std::move(name), done = std::move(done)] { done(revisions_of(name)); });
}

Result<std::vector<RevisionView>> Engine::revisions_of(const std::string& name) {
  Agent* agent = TRY(agent_for(name));
  std::vector<RevisionView> views;
  for (StoredRevision& one : TRY(parts_.db.revisions(agent->stored.id))) {
    views.push_back({.revision = one.revision,
                     .created = one.created,
                     .author = std::move(one.author),
                     .digest = "sha256:" + sha256_hex(store_manifest(one.manifest)),
                     .current = one.revision == agent->stored.revision,
                     .restorable = parts_.check_spec(one.manifest.spec).has_value()});
    views.back().manifest = std::move(one.manifest);
  }
  return views;
}

}  // namespace flodea::control
