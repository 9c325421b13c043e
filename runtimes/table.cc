#include <algorithm>
#include <array>
#include <map>

#include "runtimes/javascript/javascript.h"
#include "runtimes/python/python.h"
#include "runtimes/runtime.h"
#include "runtimes/wasm/wasm.h"

namespace flodea {
namespace {

// One row per runtime, nothing registers itself.
const std::array kRuntimes{python_runtime(), javascript_runtime(), wasm_runtime()};

}  // namespace

tl::unexpected<Error> refuse_manifest(std::string_view field, std::string message,
                                      std::string_view remedy) {
  Error error = fail(Code::kInvalidArgument, std::move(message)).value();
  return tl::unexpected<Error>(std::move(error).with_field(field).with_remedy(remedy));
}

std::vector<LayerRecipe> package_layers(const AgentSpec& spec, std::string_view version,
                                        std::vector<std::string> unpacker) {
  if (spec.runtime.packages.empty()) return {};
  unpacker.push_back(spec.runtime.packages);
  return {{.program = "unpacker",
           .arguments = std::move(unpacker),
           .input = "",
           .output = "",
           .version = std::string(version),
           .field = "spec.runtime.packages",
           .memory_bytes = 64 * kMiB,
           .memory_per_byte = 6,
           .seconds = 300,
           .output_bytes = 320 * kMiB}};
}

std::span<const Runtime> runtimes() { return kRuntimes; }

Result<const Runtime*> find_runtime(std::string_view type) {
  auto it = std::ranges::find(kRuntimes, type, &Runtime::type);
  if (it != kRuntimes.end()) return &*it;
  std::string known;
  for (const Runtime& runtime : kRuntimes)
    known += (known.empty() ? "" : ", ") + std::string(runtime.type);
  return refuse_manifest("spec.runtime.type", "there is no runtime \"" + std::string(type) + "\"",
                         "use one of: " + known);
}

Status validate_runtime(const AgentSpec& spec) {
  const Runtime* runtime = TRY(find_runtime(spec.runtime.type));
  return runtime->validate(spec);
}

std::vector<std::string> common_environment(const AgentManifest& manifest,
                                            std::vector<std::string> of_runtime) {
  std::map<std::string, std::string> variables{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                               {"HOME", "/data"},
                                               {"TMPDIR", "/tmp"},
                                               {"LANG", "C.UTF-8"}};
  for (const std::string& pair : of_runtime) {
    auto equals = pair.find('=');
    variables[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  for (const auto& [key, value] : manifest.spec.runtime.env) variables[key] = value;
  variables["FLODEA_AGENT"] = manifest.name;
  std::vector<std::string> out;
  for (const auto& [key, value] : variables) out.push_back(key + "=" + value);
  return out;
}

}  // namespace flodea
