#include "cli/commands/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/plan_bounds.h"
#include "base/quantity.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace fs = std::filesystem;
namespace pb = operators::v1;

// A bundle's digest where the manifest names a directory, and what a request says of each.
constexpr std::size_t kBytesPerManifest = 128;

template <class Iterator>
Result<std::vector<std::string>> files_of(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (Iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    bool named = it->path().extension() == ".yaml" && !fs::is_directory(it->path());
    if (named) files.push_back(it->path().string());
  }
  if (error) return fail_errno("read " + directory, error.value());
  std::ranges::sort(files);
  return files;
}

Result<std::vector<std::string>> manifests_in(const std::string& directory, Depth depth) {
  auto files =
      TRY(depth == Depth::kRecursive ? files_of<fs::recursive_directory_iterator>(directory)
                                     : files_of<fs::directory_iterator>(directory));
  if (!files.empty()) return files;
  auto none = fail(Code::kNotFound, directory + " has no *.yaml").value();
  return tl::unexpected(std::move(none).with_remedy("name a manifest, or a directory of them"));
}

Result<std::vector<std::string>> expand(const std::vector<std::string>& paths, Depth depth) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (path == "-" || !fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (std::string& file : TRY(manifests_in(path, depth))) files.push_back(std::move(file));
  }
  return files;
}

// Before anything is sent.
Status check_bounds(const std::vector<Deployment>& deployments) {
  std::size_t bytes = 0;
  for (const Deployment& deployment : deployments)
    bytes += deployment.manifest.message.ByteSizeLong() + kBytesPerManifest;
  if (deployments.size() <= kMaxPlanned && bytes <= kMaxPlanBytes) return {};
  auto error = fail(Code::kInvalidArgument,
                    fmt::format("{} manifests of {} together are more than can be judged together "
                                "({}, {})",
                                deployments.size(), format_bytes(bytes), kMaxPlanned,
                                format_bytes(kMaxPlanBytes)))
                   .value();
  return tl::unexpected(std::move(error).with_remedy(
      "name fewer at a time; --prune then wants a label that is theirs alone (-l)"));
}

// "manifests[2].spec.after": of the third, its own field.
Error locate(Error error, const std::vector<Deployment>& deployments) {
  std::size_t index = 0;
  int read = 0;
  if (std::sscanf(error.field.c_str(), "manifests[%zu]%n", &index, &read) != 1 || read == 0 ||
      index >= deployments.size())
    return error;
  error.field.erase(0, static_cast<std::size_t>(read));
  if (error.field.starts_with('.')) error.field.erase(0, 1);
  return deployments[index].manifest.locate(std::move(error));
}

std::string directory_of(const std::string& file) {
  std::string parent = fs::path(file).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

Result<std::vector<Deployment>> read_batch(const std::vector<std::string>& paths, Depth depth) {
  std::vector<Deployment> deployments;
  std::map<std::string, std::string> named;
  for (const std::string& file : TRY(expand(paths, depth))) {
    auto manifest = TRY(load_manifest(file));
    auto deployment = TRY(prepare(std::move(manifest), directory_of(file)));
    auto [first, fresh] = named.emplace(deployment.manifest.message.metadata().name(), file);
    if (!fresh) {
      Error clash = fail(Code::kInvalidArgument,
                         fmt::format("agent \"{}\" is in {} too", first->first, first->second))
                        .value();
      return tl::unexpected(deployment.manifest.locate(std::move(
          std::move(clash).with_field("metadata.name").with_remedy("give each its own name"))));
    }
    deployments.push_back(std::move(deployment));
  }
  TRY(check_bounds(deployments));
  return deployments;
}

Result<std::vector<pb::ApplyResponse>> preview_batch(Session& session,
                                                     std::vector<Deployment>& deployments) {
  Client* client = TRY(session.client());
  for (Deployment& deployment : deployments) TRY(upload(session, deployment));
  pb::PlanRequest request;
  for (const Deployment& deployment : deployments)
    *request.add_manifests() = deployment.manifest.message;
  auto plan = client->call(&pb::Operators::Stub::Plan, request);
  if (!plan) return tl::unexpected(locate(std::move(plan).error(), deployments));
  return std::vector<pb::ApplyResponse>(plan->outcomes().begin(), plan->outcomes().end());
}

Status sort_batch(Client& client, std::vector<Deployment>& deployments) {
  if (deployments.size() < 2) return {};
  After after = after_of(TRY(agents_by_name(client)));
  std::map<std::string, Deployment> by_name;
  Names names;
  for (Deployment& deployment : deployments) {
    const pb::AgentManifest& manifest = deployment.manifest.message;
    names.push_back(manifest.metadata().name());
    after[names.back()] = {manifest.spec().after().begin(), manifest.spec().after().end()};
    by_name.emplace(names.back(), std::move(deployment));
  }
  deployments.clear();
  for (const std::string& name : in_start_order(names, after))
    deployments.push_back(std::move(by_name.at(name)));
  return {};
}

}  // namespace flodea::cli
