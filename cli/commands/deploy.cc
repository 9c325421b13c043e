#include "cli/commands/deploy.h"

#include <fmt/format.h>

#include <utility>

#include "base/quantity.h"
#include "cli/commands/watch.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

std::string outcome_word(pb::ApplyResponse::Outcome outcome) {
  switch (outcome) {
    case pb::ApplyResponse::OUTCOME_CREATED:
      return "created";
    case pb::ApplyResponse::OUTCOME_CHANGED:
      return "changed";
    default:
      return "unchanged";
  }
}

Result<std::string> send(Session& session, Client& client, const Deployment& deployment) {
  std::uint64_t total = deployment.bundle.bytes;
  auto shown = [&](std::uint64_t sent) {
    session.progress.show(fmt::format("{}: sending the bundle, {} of {}",
                                      deployment.manifest.message.metadata().name(),
                                      format_bytes(sent), format_bytes(total)));
  };
  auto stored = client.put_bundle(deployment.bundle, shown);
  session.progress.clear();
  if (!stored) return tl::unexpected(deployment.manifest.locate(std::move(stored).error()));
  return stored->digest();
}

Result<pb::ApplyResponse> apply(Session& session, Client& client, const Manifest& manifest,
                                Wish wish) {
  pb::ApplyRequest request;
  *request.mutable_manifest() = manifest.message;
  request.set_wait(wish != Wish::kApply);
  request.set_start(wish == Wish::kRun);
  std::unique_ptr<TransitionWatch> watch;
  if (request.wait())
    watch = std::make_unique<TransitionWatch>(session, client, manifest.message.metadata().name());
  auto answer = client.call(&pb::Operators::Stub::Apply, request);
  if (!answer) return tl::unexpected(manifest.locate(std::move(answer).error()));
  return answer;
}

}  // namespace

Result<Deployment> prepare(Manifest manifest, const std::string& base_directory) {
  Deployment deployment{.manifest = std::move(manifest)};
  const std::string& bundle = deployment.manifest.message.spec().bundle();
  // An empty one is the supervisor's to refuse, with the field's name.
  deployment.stored = bundle.empty() || bundle.starts_with("sha256:");
  if (deployment.stored) return deployment;
  std::string directory = bundle.front() == '/' ? bundle : base_directory + "/" + bundle;
  auto tree = scan_bundle(directory);
  if (!tree) return tl::unexpected(deployment.manifest.locate(std::move(tree).error()));
  deployment.bundle = std::move(*tree);
  return deployment;
}

Status upload(Session& session, Deployment& deployment) {
  if (deployment.stored) return {};
  Client* client = TRY(session.client());
  std::string digest = TRY(send(session, *client, deployment));
  deployment.manifest.message.mutable_spec()->set_bundle(digest);
  deployment.stored = true;
  return {};
}

Status deploy(Session& session, Deployment& deployment, Wish wish) {
  Client* client = TRY(session.client());
  TRY(upload(session, deployment));
  auto answer = TRY(apply(session, *client, deployment.manifest, wish));
  print(session.table()
            ? fmt::format("{} {}\n", answer.agent().name(), outcome_word(answer.outcome()))
            : render_item(answer, session.format));
  if (wish != Wish::kApply) return check_arrived(answer.agent());
  deployment.applied = std::move(answer);
  return {};
}

Status await(Session& session, Deployment& deployment) {
  Client* client = TRY(session.client());
  pb::ApplyResponse& applied = *deployment.applied;
  pb::AwaitRequest request;
  request.set_name(applied.agent().name());
  request.set_revision(applied.agent().revision());
  auto watch = std::make_unique<TransitionWatch>(session, *client, request.name());
  auto agent = client->call(&pb::Operators::Stub::Await, request);
  watch.reset();
  *applied.mutable_agent() = TRY(std::move(agent));
  applied.set_outcome(pb::ApplyResponse::OUTCOME_UNCHANGED);
  print(session.table()
            ? fmt::format("{} {}\n", request.name(), state_word(applied.agent().state()))
            : render_item(applied, session.format));
  return check_arrived(applied.agent());
}

}  // namespace flodea::cli
