#include "supervisor/control/operators/spec_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/bundle_rules.h"
#include "base/plan_bounds.h"
#include "base/quantity.h"
#include "base/text.h"
#include "supervisor/control/operators/health_codec.h"
#include "supervisor/control/operators/spec_fields.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using namespace std::chrono_literals;

constexpr std::size_t kMaxLabels = 32, kMaxLabel = 63;
constexpr std::size_t kMaxAfter = 16;
constexpr std::size_t kMaxArgs = 64, kMaxArg = 4096;
constexpr std::size_t kMaxEnv = 64, kMaxEnvKey = 128, kMaxEnvValue = 4096;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// --- Metadata

bool is_label_text(std::string_view text, bool slash) {
  return std::ranges::all_of(text, [&](char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || (slash && c == '/');
  });
}

Status check_label(const std::string& key, const std::string& value) {
  std::string field = "metadata.labels." + key;
  if (key.empty() || key.size() > kMaxLabel || !is_label_text(key, true)) {
    return refuse("metadata.labels", "label key " + quoted(key) + " is not one",
                  "use 1 to 63 of A-Z a-z 0-9 '-' '_' '.' '/'");
  }
  if (value.size() > kMaxLabel || !is_label_text(value, false)) {
    return refuse(field, "label value " + quoted(value) + " is not one",
                  "use up to 63 of A-Z a-z 0-9 '-' '_' '.'");
  }
  return {};
}

Result<std::map<std::string, std::string>> decode_labels(const pb::Metadata& wire) {
  if (static_cast<std::size_t>(wire.labels_size()) > kMaxLabels) {
    return refuse("metadata.labels", fmt::format("{} labels are too many", wire.labels_size()),
                  fmt::format("keep to {}", kMaxLabels));
  }
  std::map<std::string, std::string> labels(wire.labels().begin(), wire.labels().end());
  for (const auto& [key, value] : labels) TRY(check_label(key, value));
  return labels;
}

Status check_header(const pb::AgentManifest& wire) {
  if (wire.api_version() != "flodea/v1") {
    return refuse("apiVersion",
                  wire.api_version().empty()
                      ? "apiVersion is missing"
                      : "apiVersion " + quoted(wire.api_version()) + " is not known here",
                  "write apiVersion: flodea/v1");
  }
  if (wire.kind() != "Agent") {
    return refuse("kind",
                  wire.kind().empty() ? "kind is missing"
                                      : "kind " + quoted(wire.kind()) + " is not known here",
                  "write kind: Agent");
  }
  if (wire.metadata().name().empty())
    return refuse("metadata.name", "the agent has no name", "write metadata: {name: …}");
  auto named = check_agent_name(wire.metadata().name());
  if (!named) return tl::unexpected(std::move(named).error().with_field("metadata.name"));
  return {};
}

// --- Runtime

Result<std::string> decode_type(const pb::Runtime& wire, const SpecBounds& bounds) {
  std::vector<std::string> known;
  for (const auto& [type, its] : bounds.runtimes) known.push_back(type);
  std::string have = fmt::format("this supervisor has: {}", fmt::join(known, ", "));
  if (wire.type().empty())
    return refuse("spec.runtime.type", "the agent has no runtime",
                  "write spec: {runtime: {type: …}}; " + have);
  if (bounds.runtimes.contains(wire.type())) return wire.type();
  return refuse("spec.runtime.type", "no runtime " + quoted(wire.type()) + " here",
                did_you_mean(wire.type(), known, have));
}

Result<std::string> decode_engine(const pb::Runtime& wire, const SpecBounds& bounds) {
  constexpr std::string_view kField = "spec.runtime.engine";
  const std::string& engine = bounds.runtimes.at(wire.type()).engine;
  if (wire.engine().empty() || wire.engine() == engine) return engine;
  if (engine.empty())
    return refuse(kField, "runtime " + quoted(wire.type()) + " has no choice of engines",
                  "leave spec.runtime.engine out");
  return refuse(kField, "no engine " + quoted(wire.engine()) + " here",
                did_you_mean(wire.engine(), {engine}, "use: " + engine));
}

// "./a//b.py" → "a/b.py". What it must not be is left as it is, for the check to name.
std::string normal_path(std::string_view text) {
  std::string out;
  if (text.starts_with('/')) return std::string(text);
  while (!text.empty()) {
    std::size_t slash = std::min(text.find('/'), text.size());
    std::string_view part = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (part.empty() || part == ".") continue;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

Result<std::string> decode_entrypoint(const std::string& text) {
  constexpr std::string_view kField = "spec.runtime.entrypoint";
  constexpr std::string_view kRemedy =
      "name a file of the bundle, relative to its top, as in main.py";
  if (text.empty()) return refuse(kField, "the agent has no entry point", kRemedy);
  std::string path = normal_path(text);
  auto good = check_bundle_path(path, {});
  if (!good)
    return refuse(kField, "entry point " + quoted(text) + " is no file of a bundle", kRemedy);
  return path;
}

Result<std::string> decode_packages(const std::string& text) {
  constexpr std::string_view kField = "spec.runtime.packages";
  if (text.empty()) return std::string();
  std::string path = normal_path(text);
  if (check_bundle_path(path, {})) return path;
  return refuse(kField, "lock file " + quoted(text) + " is no file of a bundle",
                "name a file of the bundle, relative to its top, as in requirements.lock");
}

Result<std::vector<std::string>> decode_args(const pb::Runtime& wire) {
  if (static_cast<std::size_t>(wire.args_size()) > kMaxArgs) {
    return refuse("spec.runtime.args", fmt::format("{} arguments are too many", wire.args_size()),
                  fmt::format("keep to {}", kMaxArgs));
  }
  for (int i = 0; i < wire.args_size(); ++i) {
    std::string field = fmt::format("spec.runtime.args[{}]", i);
    if (wire.args(i).size() > kMaxArg)
      return refuse(field, "the argument is longer than 4Ki", "pass a file of the bundle instead");
    if (wire.args(i).find('\0') != std::string::npos)
      return refuse(field, "the argument holds a NUL", "remove it");
  }
  return std::vector<std::string>(wire.args().begin(), wire.args().end());
}

bool is_env_key(std::string_view key) {
  bool starts = !key.empty() && (key[0] < '0' || key[0] > '9');
  return starts && key.size() <= kMaxEnvKey &&
         std::ranges::all_of(key, [](char c) { return is_alnum(c) || c == '_'; });
}

Status check_env(const std::string& key, const std::string& value) {
  if (!is_env_key(key)) {
    return refuse("spec.runtime.env", quoted(key) + " is no name of a variable",
                  "use A-Z a-z 0-9 '_', not a digit first, at most 128");
  }
  std::string field = "spec.runtime.env." + key;
  if (key.starts_with("FLODEA_"))
    return refuse(field, key + " is one of Flodea's own names",
                  "use a name that does not start with FLODEA_");
  if (value.size() > kMaxEnvValue)
    return refuse(field, "the value of " + key + " is longer than 4Ki",
                  "put it in a file of the bundle");
  if (value.find('\0') != std::string::npos)
    return refuse(field, "the value of " + key + " holds a NUL", "remove it");
  return {};
}

Result<std::map<std::string, std::string>> decode_env(const pb::Runtime& wire) {
  if (static_cast<std::size_t>(wire.env_size()) > kMaxEnv) {
    return refuse("spec.runtime.env", fmt::format("{} variables are too many", wire.env_size()),
                  fmt::format("keep to {}", kMaxEnv));
  }
  std::map<std::string, std::string> env(wire.env().begin(), wire.env().end());
  for (const auto& [key, value] : env) TRY(check_env(key, value));
  return env;
}

Result<RuntimeSpec> decode_runtime(const pb::Runtime& wire, const SpecBounds& bounds) {
  RuntimeSpec runtime;
  runtime.type = TRY(decode_type(wire, bounds));
  runtime.engine = TRY(decode_engine(wire, bounds));
  runtime.entrypoint = TRY(decode_entrypoint(wire.entrypoint()));
  runtime.args = TRY(decode_args(wire));
  runtime.env = TRY(decode_env(wire));
  runtime.packages = TRY(decode_packages(wire.packages()));
  return runtime;
}

// --- The rest of the spec

Result<BundleDigest> decode_bundle(const std::string& text) {
  constexpr std::string_view kField = "spec.bundle";
  if (text.empty())
    return refuse(kField, "the agent has no bundle", "name the directory of its code");
  auto digest = BundleDigest::parse(text);
  if (!digest)
    return refuse(kField, quoted(text) + " is no digest of a bundle",
                  "send the directory with PutBundle, as `flodea apply` does");
  return digest;
}

Result<std::uint32_t> decode_cpu(const std::string& text, const SpecBounds& bounds) {
  constexpr std::string_view kField = "spec.resources.cpu";
  // One core by default; on a host of less, what it has.
  if (text.empty()) return std::min(Resources{}.cpu_millis, bounds.host_cpu_millis);
  auto millis = parse_cpu_millis(text);
  if (!millis) return tl::unexpected(std::move(millis).error().with_field(kField));
  if (*millis < 10)
    return refuse(kField, text + " of a core is too little", "give it at least 0.01");
  if (*millis <= bounds.host_cpu_millis) return *millis;
  std::string host = fmt::format("{:g}", bounds.host_cpu_millis / 1000.0);
  return tl::unexpected(fail(Code::kFailedPrecondition,
                             fmt::format("cpu {} is more than this host's {} cores", text, host))
                            .value()
                            .with_field(kField)
                            .with_remedy("give it at most " + host));
}

Result<Resources> decode_resources(const pb::Resources& wire, std::uint64_t min_memory,
                                   const SpecBounds& bounds) {
  constexpr std::uint64_t kTiB = 1ull << 40;
  Resources r;
  r.memory_bytes = TRY(bytes_field("spec.resources.memory", wire.memory(),
                                   std::max(r.memory_bytes, min_memory), {min_memory, 64 * kTiB}));
  r.cpu_millis = TRY(decode_cpu(wire.cpu(), bounds));
  r.pids = TRY(count_field("spec.resources.pids", wire.pids(), r.pids, {1, 32'768}));
  r.disk_bytes =
      TRY(bytes_field("spec.resources.disk", wire.disk(), r.disk_bytes, {16 * kMiB, 16 * kTiB}));
  r.open_files =
      TRY(count_field("spec.resources.open_files", wire.open_files(), r.open_files, {16, 16'384}));
  r.calls_per_second = TRY(count_field("spec.resources.calls_per_second", wire.calls_per_second(),
                                       r.calls_per_second, {1, 1'000'000}));
  r.log_bytes_per_second = TRY(bytes_field("spec.resources.log_rate", wire.log_rate(),
                                           r.log_bytes_per_second, {1024, 1024 * kMiB}));
  return r;
}

constexpr RestartPolicy kPolicies[] = {RestartPolicy::kOnFailure, RestartPolicy::kAlways,
                                       RestartPolicy::kNever};
const std::vector<std::string> kPolicyNames{"on-failure", "always", "never"};  // the default first
const std::vector<std::string> kWhenFull{"block", "drop"};

Result<Restart> decode_restart(const pb::Restart& wire) {
  Restart r;
  r.policy = kPolicies[TRY(word_field("spec.restart.policy", wire.policy(), kPolicyNames))];
  if (wire.has_max_retries()) r.max_retries = wire.max_retries();
  const pb::Backoff& backoff = wire.backoff();
  r.initial =
      TRY(duration_field("spec.restart.backoff.initial", backoff.initial(), r.initial, {1ms, 1h}));
  r.max = TRY(duration_field("spec.restart.backoff.max", backoff.max(), std::max(r.max, r.initial),
                             {1ms, 24h}));
  r.reset_after = TRY(duration_field("spec.restart.backoff.reset_after", backoff.reset_after(),
                                     r.reset_after, {0ns, 24h * 366}));
  if (r.max >= r.initial) return r;
  return refuse(
      "spec.restart.backoff.max",
      fmt::format("{} is less than initial, {}", backoff.max(), format_duration(r.initial)),
      "raise max, or lower initial");
}

Result<LogPolicy> decode_logs(const pb::Logs& wire) {
  LogPolicy logs;
  logs.keep_bytes =
      TRY(bytes_field("spec.logs.keep", wire.keep(), logs.keep_bytes, {kMiB, 1024 * kMiB}));
  logs.drop_when_full = TRY(word_field("spec.logs.when_full", wire.when_full(), kWhenFull)) == 1;
  return logs;
}

Result<std::vector<std::string>> decode_after(const pb::AgentSpec& wire) {
  constexpr std::string_view kField = "spec.after";
  if (static_cast<std::size_t>(wire.after_size()) > kMaxAfter) {
    return refuse(kField, fmt::format("{} agents are too many to wait for", wire.after_size()),
                  fmt::format("keep to {}", kMaxAfter));
  }
  std::vector<std::string> after;
  for (const std::string& name : wire.after()) {
    if (auto named = check_agent_name(name); !named)
      return tl::unexpected(std::move(named).error().with_field(kField));
    if (std::ranges::find(after, name) == after.end()) after.push_back(name);
  }
  return after;
}

Result<AgentSpec> decode_spec(const pb::AgentSpec& wire, const SpecBounds& bounds) {
  AgentSpec spec;
  spec.runtime = TRY(decode_runtime(wire.runtime(), bounds));
  spec.bundle = TRY(decode_bundle(wire.bundle()));
  spec.resources = TRY(
      decode_resources(wire.resources(), bounds.runtimes.at(spec.runtime.type).min_memory, bounds));
  spec.restart = TRY(decode_restart(wire.restart()));
  spec.stop_timeout = TRY(
      duration_field("spec.stop_timeout", wire.stop_timeout(), spec.stop_timeout, {0ns, 10min}));
  spec.logs = TRY(decode_logs(wire.logs()));
  TRY(decode_health(wire, spec));
  spec.after = TRY(decode_after(wire));
  spec.priority = TRY(count_field("spec.priority", wire.priority(), spec.priority, {1, 100}));
  return spec;
}

// --- Encoding

// Exact, whatever the value: format_bytes and format_duration round where a unit does not fit.
std::string exact_bytes(std::uint64_t bytes) {
  std::string text = format_bytes(bytes);
  auto back = parse_bytes(text);
  return back && *back == bytes ? text : std::to_string(bytes);
}

std::string cpu_text(std::uint32_t millis) {
  if (millis % 1000 == 0) return std::to_string(millis / 1000);
  std::string text = fmt::format("{}.{:03}", millis / 1000, millis % 1000);
  return text.substr(0, text.find_last_not_of('0') + 1);
}

void encode_resources(const Resources& r, pb::Resources& wire) {
  wire.set_memory(exact_bytes(r.memory_bytes));
  wire.set_cpu(cpu_text(r.cpu_millis));
  wire.set_pids(r.pids);
  wire.set_disk(exact_bytes(r.disk_bytes));
  wire.set_open_files(r.open_files);
  wire.set_calls_per_second(r.calls_per_second);
  wire.set_log_rate(exact_bytes(r.log_bytes_per_second));
}

void encode_restart(const Restart& r, pb::Restart& wire) {
  auto at = std::ranges::find(kPolicies, r.policy) - std::begin(kPolicies);
  wire.set_policy(kPolicyNames[static_cast<std::size_t>(at)]);
  wire.set_max_retries(r.max_retries);
  wire.mutable_backoff()->set_initial(exact_duration(r.initial));
  wire.mutable_backoff()->set_max(exact_duration(r.max));
  wire.mutable_backoff()->set_reset_after(exact_duration(r.reset_after));
}

}  // namespace

Result<AgentManifest> decode_manifest(const pb::AgentManifest& wire, const SpecBounds& bounds) {
  TRY(check_header(wire));
  AgentManifest manifest;
  manifest.name = wire.metadata().name();
  manifest.labels = TRY(decode_labels(wire.metadata()));
  manifest.spec = TRY(decode_spec(wire.spec(), bounds));
  return manifest;
}

Result<AgentManifest> decode_apply(const pb::ApplyRequest& wire, const SpecBounds& bounds) {
  if (wire.dry_run())
    return refuse("dry_run", "Apply has no dry run, and would make it so", "call Plan");
  return decode_manifest(wire.manifest(), bounds);
}

Result<std::vector<AgentManifest>> decode_plan(const pb::PlanRequest& wire,
                                               const SpecBounds& bounds) {
  if (wire.manifests().empty() || std::size_t(wire.manifests_size()) > kMaxPlanned)
    return refuse("manifests", fmt::format("there are {} manifests", wire.manifests_size()),
                  fmt::format("plan 1 to {} at a time", kMaxPlanned));
  std::vector<AgentManifest> manifests;
  std::set<std::string> names;
  for (const pb::AgentManifest& one : wire.manifests()) {
    auto manifest = decode_manifest(one, bounds);
    if (manifest && !names.insert(manifest->name).second)
      manifest = refuse("metadata.name", "agent \"" + manifest->name + "\" is there twice",
                        "give each its own name");
    if (!manifest)
      return tl::unexpected(of_manifest(std::move(manifest).error(), manifests.size()));
    manifests.push_back(std::move(*manifest));
  }
  return manifests;
}

pb::AgentSpec encode_spec(const AgentSpec& spec) {
  pb::AgentSpec wire;
  wire.mutable_runtime()->set_type(spec.runtime.type);
  wire.mutable_runtime()->set_engine(spec.runtime.engine);
  wire.mutable_runtime()->set_entrypoint(spec.runtime.entrypoint);
  wire.mutable_runtime()->mutable_args()->Add(spec.runtime.args.begin(), spec.runtime.args.end());
  wire.mutable_runtime()->mutable_env()->insert(spec.runtime.env.begin(), spec.runtime.env.end());
  wire.mutable_runtime()->set_packages(spec.runtime.packages);
  if (!spec.bundle.empty()) wire.set_bundle(spec.bundle.text());
  encode_resources(spec.resources, *wire.mutable_resources());
  encode_restart(spec.restart, *wire.mutable_restart());
  wire.set_stop_timeout(exact_duration(spec.stop_timeout));
  wire.mutable_logs()->set_keep(exact_bytes(spec.logs.keep_bytes));
  wire.mutable_logs()->set_when_full(kWhenFull[spec.logs.drop_when_full ? 1 : 0]);
  encode_health(spec, wire);
  wire.mutable_after()->Add(spec.after.begin(), spec.after.end());
  wire.set_priority(spec.priority);
  return wire;
}

pb::AgentManifest encode_manifest(const AgentManifest& manifest) {
  pb::AgentManifest wire;
  wire.set_api_version("flodea/v1");
  wire.set_kind("Agent");
  wire.mutable_metadata()->set_name(manifest.name);
  wire.mutable_metadata()->mutable_labels()->insert(manifest.labels.begin(), manifest.labels.end());
  *wire.mutable_spec() = encode_spec(manifest.spec);
  return wire;
}

}  // namespace flodea::control
