#include <algorithm>
#include <array>
#include <map>

#include "base/quantity.h"
#include "runtimes/python/python.h"
#include "runtimes/runtime.h"

namespace flodea {
namespace {

// One row per runtime, nothing registers itself.
const std::array kRuntimes{python_runtime()};

Status check_environment(const RuntimeSpec& spec) {
  for (const auto& [key, value] : spec.env) {
    std::string field = "spec.runtime.env." + key;
    if (key.starts_with("FLODEA_"))
      return refuse_manifest(field, key + " is set by the supervisor alone",
                             "choose a name that does not begin with FLODEA_");
    if (value.find('\0') != std::string::npos)
      return refuse_manifest(field, key + " holds a zero byte", "remove it");
  }
  return {};
}

Status check_memory(const AgentSpec& spec, const Runtime& runtime) {
  if (spec.resources.memory_bytes >= runtime.minimum_memory) return {};
  std::string minimum = format_bytes(runtime.minimum_memory);
  std::string message = format_bytes(spec.resources.memory_bytes) + " is under the " + minimum +
                        " that the runtime " + std::string(runtime.type) + " needs";
  return refuse_manifest("spec.resources.memory", std::move(message),
                         "set it to " + minimum + " or more");
}

Status check_entrypoint(const RuntimeSpec& spec, const BundleFiles& files) {
  if (TRY(files.is_file(spec.entrypoint))) return {};
  return refuse_manifest("spec.runtime.entrypoint", "the bundle has no file " + spec.entrypoint,
                         "name a file of the bundle, relative to its root");
}

}  // namespace

tl::unexpected<Error> refuse_manifest(std::string_view field, std::string message,
                                      std::string_view remedy) {
  Error error = fail(Code::kInvalidArgument, std::move(message)).value();
  return tl::unexpected<Error>(std::move(error).with_field(field).with_remedy(remedy));
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

Status validate_runtime(const AgentSpec& spec, const BundleFiles& files) {
  const Runtime* runtime = TRY(find_runtime(spec.runtime.type));
  TRY(check_environment(spec.runtime));
  TRY(check_memory(spec, *runtime));
  TRY(check_entrypoint(spec.runtime, files));
  return runtime->validate(spec, files);
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
