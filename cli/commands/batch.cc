#include "cli/commands/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace fs = std::filesystem;
namespace pb = operators::v1;

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
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (std::string& file : TRY(manifests_in(path, depth))) files.push_back(std::move(file));
  }
  return files;
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
  return deployments;
}

Result<AgentsByName> agents_by_name(Client& client, const std::string& selector) {
  AgentsByName agents;
  auto list = TRY(list_agents(client, selector));
  for (const pb::Agent& agent : list.agents()) agents[agent.name()] = agent;
  return agents;
}

Result<std::vector<pb::ApplyResponse>> preview_batch(Session& session,
                                                     std::vector<Deployment>& deployments) {
  Client* client = TRY(session.client());
  for (Deployment& deployment : deployments) TRY(upload(session, deployment));
  std::vector<pb::ApplyResponse> previews;
  for (const Deployment& deployment : deployments)
    previews.push_back(TRY(dry_run(*client, deployment)));
  return previews;
}

}  // namespace flodea::cli
