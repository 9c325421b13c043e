#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands/commands.h"
#include "cli/commands/deploy.h"

namespace flodea::cli {
namespace {

namespace fs = std::filesystem;

struct RunOptions {
  std::string directory;
  std::string name;
};

// An entry point is recognised whether or not the supervisor has a runtime for it: that is its to
// say.
struct Guess {
  const char* file;
  const char* runtime;
};
constexpr Guess kGuesses[] = {{"main.py", "python"},
                              {"main.mjs", "javascript"},
                              {"main.cjs", "javascript"},
                              {"main.js", "javascript"},
                              {"main.wasm", "wasm"}};

// "My Agent_2" → "my-agent-2"
std::string name_from(const std::string& directory) {
  std::string name = fs::weakly_canonical(directory).filename().string();
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!good) c = '-';
  }
  name = name.substr(0, 63);
  while (name.ends_with('-')) name.pop_back();
  name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
  return name;
}

Result<Guess> guess_entrypoint(const std::string& directory) {
  std::vector<Guess> found;
  for (const Guess& guess : kGuesses) {
    if (fs::is_regular_file(fs::path(directory) / guess.file)) found.push_back(guess);
  }
  if (found.size() == 1) return found.front();
  std::string what = found.empty()
                         ? "has neither flodea.yaml nor main.py, main.mjs, main.cjs, main.js or "
                           "main.wasm"
                         : fmt::format("has both {} and {}", found[0].file, found[1].file);
  auto error = fail(Code::kInvalidArgument, directory + " " + what).value();
  return tl::unexpected(
      std::move(error).with_remedy("write a flodea.yaml there that names the entry point"));
}

Result<Manifest> infer(const std::string& directory) {
  Guess guess = TRY(guess_entrypoint(directory));
  Manifest manifest;
  manifest.message.set_api_version("flodea/v1");
  manifest.message.set_kind("Agent");
  manifest.message.mutable_metadata()->set_name(name_from(directory));
  auto* spec = manifest.message.mutable_spec();
  spec->mutable_runtime()->set_type(guess.runtime);
  spec->mutable_runtime()->set_entrypoint(guess.file);
  return manifest;
}

Status run(Session& session, const RunOptions& options) {
  std::string file = options.directory + "/flodea.yaml";
  auto manifest = TRY(fs::exists(file) ? load_manifest(file) : infer(options.directory));
  if (!options.name.empty()) manifest.message.mutable_metadata()->set_name(options.name);
  if (manifest.message.metadata().name().empty())
    manifest.message.mutable_metadata()->set_name(name_from(options.directory));
  if (manifest.message.spec().bundle().empty()) manifest.message.mutable_spec()->set_bundle(".");
  auto deployment = TRY(prepare(std::move(manifest), options.directory));
  return deploy(session, deployment, Wish::kRun);
}

}  // namespace

void add_run(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<RunOptions>();
  auto* command = app.add_subcommand(
      "run",
      "Run the agent in a directory, by its flodea.yaml, or by its main.py, main.mjs, main.cjs, "
      "main.js or main.wasm");
  command->add_option("dir", options->directory, "The directory")
      ->required()
      ->type_name("DIR")
      ->check(CLI::ExistingDirectory);
  command->add_option("--name", options->name, "Its name (default: the directory's)")
      ->type_name("NAME");
  command->callback([&session, &action, options] {
    action = [&session, options] { return run(session, *options); };
  });
}

}  // namespace flodea::cli
