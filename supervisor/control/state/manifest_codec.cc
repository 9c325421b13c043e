#include "supervisor/control/state/manifest_codec.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace flodea::control {
namespace {

using Json = nlohmann::json;

const char* policy_name(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::kAlways:
      return "always";
    case RestartPolicy::kNever:
      return "never";
    case RestartPolicy::kOnFailure:
      break;
  }
  return "on-failure";
}

RestartPolicy policy_of(const std::string& name) {
  if (name == "always") return RestartPolicy::kAlways;
  return name == "never" ? RestartPolicy::kNever : RestartPolicy::kOnFailure;
}

// Reads one field if it is there; a value of another type is an error of nlohmann's, met in
// restore_manifest.
template <class T>
void read(const Json& json, const char* key, T& out) {
  if (auto it = json.find(key); it != json.end()) out = it->get<T>();
}
void read(const Json& json, const char* key, Nanos& out) {
  if (auto it = json.find(key); it != json.end()) out = Nanos(it->get<std::int64_t>());
}
Json part(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() ? *it : Json::object();
}

Json encode(const Resources& r) {
  return {{"memory", r.memory_bytes},
          {"cpu_millis", r.cpu_millis},
          {"pids", r.pids},
          {"disk", r.disk_bytes},
          {"open_files", r.open_files},
          {"calls_per_second", r.calls_per_second},
          {"log_rate", r.log_bytes_per_second}};
}
Resources decode_resources(const Json& json) {
  Resources r;
  read(json, "memory", r.memory_bytes);
  read(json, "cpu_millis", r.cpu_millis);
  read(json, "pids", r.pids);
  read(json, "disk", r.disk_bytes);
  read(json, "open_files", r.open_files);
  read(json, "calls_per_second", r.calls_per_second);
  read(json, "log_rate", r.log_bytes_per_second);
  return r;
}

Json encode(const Restart& r) {
  return {{"policy", policy_name(r.policy)},
          {"max_retries", r.max_retries},
          {"initial", r.initial.count()},
          {"max", r.max.count()},
          {"reset_after", r.reset_after.count()}};
}
Restart decode_restart(const Json& json) {
  Restart r;
  std::string policy = policy_name(r.policy);
  read(json, "policy", policy);
  r.policy = policy_of(policy);
  read(json, "max_retries", r.max_retries);
  read(json, "initial", r.initial);
  read(json, "max", r.max);
  read(json, "reset_after", r.reset_after);
  return r;
}

Json encode(const RuntimeSpec& r) {
  return {{"type", r.type}, {"engine", r.engine}, {"entrypoint", r.entrypoint},
          {"args", r.args}, {"env", r.env},       {"packages", r.packages}};
}
RuntimeSpec decode_runtime(const Json& json) {
  RuntimeSpec r;
  read(json, "type", r.type);
  read(json, "engine", r.engine);
  read(json, "entrypoint", r.entrypoint);
  read(json, "args", r.args);
  read(json, "env", r.env);
  read(json, "packages", r.packages);
  return r;
}

Json encode(const ExecProbe& p) {
  return {{"command", p.command},
          {"every", p.every.count()},
          {"timeout", p.timeout.count()},
          {"failures", p.failures}};
}
// Nothing stands there: no probe.
Json encode(const std::optional<ExecProbe>& p) { return p ? encode(*p) : Json(); }
void read(const Json& json, const char* key, std::optional<ExecProbe>& out) {
  auto it = json.find(key);
  if (it == json.end() || it->is_null()) return;
  out.emplace();
  read(*it, "command", out->command);
  read(*it, "every", out->every);
  read(*it, "timeout", out->timeout);
  read(*it, "failures", out->failures);
}

Json encode(const AgentSpec& s) {
  return {{"runtime", encode(s.runtime)},
          {"bundle", s.bundle.empty() ? "" : s.bundle.text()},
          {"resources", encode(s.resources)},
          {"restart", encode(s.restart)},
          {"stop_timeout", s.stop_timeout.count()},
          {"logs", {{"keep", s.logs.keep_bytes}, {"drop_when_full", s.logs.drop_when_full}}},
          {"readiness",
           {{"self", s.readiness.self},
            {"timeout", s.readiness.timeout.count()},
            {"probe", encode(s.readiness.probe)}}},
          {"liveness", {{"probe", encode(s.liveness.probe)}, {"beat", s.liveness.beat.count()}}},
          {"startup", encode(s.startup)},
          {"after", s.after},
          {"priority", s.priority}};
}

Result<AgentSpec> decode_spec(const Json& json) {
  AgentSpec s;
  s.runtime = decode_runtime(part(json, "runtime"));
  std::string bundle;
  read(json, "bundle", bundle);
  if (!bundle.empty()) s.bundle = TRY(BundleDigest::parse(bundle));
  s.resources = decode_resources(part(json, "resources"));
  s.restart = decode_restart(part(json, "restart"));
  read(json, "stop_timeout", s.stop_timeout);
  read(part(json, "logs"), "keep", s.logs.keep_bytes);
  read(part(json, "logs"), "drop_when_full", s.logs.drop_when_full);
  read(part(json, "readiness"), "self", s.readiness.self);
  read(part(json, "readiness"), "timeout", s.readiness.timeout);
  read(part(json, "readiness"), "probe", s.readiness.probe);
  read(part(json, "liveness"), "probe", s.liveness.probe);
  read(part(json, "liveness"), "beat", s.liveness.beat);
  read(json, "startup", s.startup);
  read(json, "after", s.after);
  read(json, "priority", s.priority);
  return s;
}

}  // namespace

std::string store_manifest(const AgentManifest& manifest) {
  Json json{{"name", manifest.name}, {"labels", manifest.labels}, {"spec", encode(manifest.spec)}};
  return json_text(json);
}

Result<AgentManifest> restore_manifest(std::string_view text) {
  try {
    Json json = parse_json(text);
    AgentManifest manifest;
    read(json, "name", manifest.name);
    read(json, "labels", manifest.labels);
    manifest.spec = TRY(decode_spec(part(json, "spec")));
    return manifest;
  } catch (const Json::exception& e) {  // the library's only way to refuse
    return fail(Code::kDataLoss, std::string("a stored manifest cannot be read: ") + e.what());
  }
}

}  // namespace flodea::control
