#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "cli/commands/commands.h"
#include "cli/commands/deploy.h"

namespace flodea::cli {
namespace {

namespace fs = std::filesystem;

struct ApplyOptions {
  std::vector<std::string> files;
  bool wait = false;
};

Result<std::vector<std::string>> manifests_in(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".yaml") files.push_back(it->path().string());
  }
  if (error) return fail_errno("read " + directory, error.value());
  std::ranges::sort(files);
  if (!files.empty()) return files;
  auto none = fail(Code::kNotFound, directory + " has no *.yaml").value();
  return tl::unexpected(std::move(none).with_remedy("name a manifest, or a directory of them"));
}

Result<std::vector<std::string>> expand(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (std::string& file : TRY(manifests_in(path))) files.push_back(std::move(file));
  }
  return files;
}

std::string directory_of(const std::string& file) {
  std::string parent = fs::path(file).parent_path().string();
  return parent.empty() ? "." : parent;
}

// All are read and judged before the first is sent.
Result<std::vector<Deployment>> prepare_all(const std::vector<std::string>& files) {
  std::vector<Deployment> deployments;
  std::map<std::string, std::string> named;
  for (const std::string& file : files) {
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

Status apply(Session& session, const ApplyOptions& options) {
  auto files = TRY(expand(options.files));
  auto deployments = TRY(prepare_all(files));
  for (Deployment& deployment : deployments)
    TRY(deploy(session, std::move(deployment), options.wait ? Wish::kApplyAndWait : Wish::kApply));
  return {};
}

}  // namespace

void add_apply(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<ApplyOptions>();
  auto* command = app.add_subcommand("apply", "Make agents what their manifests say");
  command->add_option("-f,--file", options->files, "A manifest, or a directory of *.yaml")
      ->required()
      ->type_name("FILE|DIR");
  command->add_flag("--wait", options->wait, "Return once they run");
  command->callback([&session, &action, options] {
    action = [&session, options] { return apply(session, *options); };
  });
}

}  // namespace flodea::cli
