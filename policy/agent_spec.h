// What an operator wants of an agent, as domain types: the manifest after its quantities were read,
// its defaults filled in and its bounds checked (supervisor/control/operators/spec_codec). Pure
// data: no I/O, no protobuf. Defaults here are the documented ones.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace flodea {

inline constexpr std::uint64_t kMiB = 1ull << 20;

struct RuntimeSpec {
  std::string type;        // row of the runtime table: "python"
  std::string engine;      // which program of that type: "node"; empty where there is one only
  std::string entrypoint;  // file of the bundle, relative, normalised
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::string packages;  // lock file of the bundle, as entrypoint; "" for none
  bool operator==(const RuntimeSpec&) const = default;
};

struct Resources {
  std::uint64_t memory_bytes = 128 * kMiB;
  std::uint32_t cpu_millis = 1000;
  std::uint32_t pids = 64;
  std::uint64_t disk_bytes = 128 * kMiB;
  std::uint32_t open_files = 256;
  std::uint32_t calls_per_second = 1000;
  std::uint64_t log_bytes_per_second = kMiB;
  bool operator==(const Resources&) const = default;
};

enum class RestartPolicy { kAlways, kOnFailure, kNever };

struct Restart {
  static constexpr std::uint32_t kNoEnd = 0xffffffff;
  RestartPolicy policy = RestartPolicy::kOnFailure;
  std::uint32_t max_retries = 5;  // in a row
  Nanos initial = std::chrono::milliseconds(200);
  Nanos max = std::chrono::seconds(30);
  Nanos reset_after = std::chrono::seconds(60);
  bool operator==(const Restart&) const = default;
};

struct LogPolicy {
  std::uint64_t keep_bytes = 16 * kMiB;
  bool drop_when_full = false;
  bool operator==(const LogPolicy&) const = default;
};

// A command that is run beside the agent, as the agent.
struct ExecProbe {
  std::vector<std::string> command;
  Nanos every{};
  Nanos timeout = std::chrono::seconds(1);
  std::uint32_t failures = 0;  // in a row that count
  bool operator==(const ExecProbe&) const = default;
};

struct Readiness {
  bool self = false;  // running only once the agent calls Self/Ready
  Nanos timeout = std::chrono::seconds(30);
  std::optional<ExecProbe> probe;  // or once this succeeds
  bool operator==(const Readiness&) const = default;
};

// At most one of the two.
struct Liveness {
  std::optional<ExecProbe> probe;
  Nanos beat{};  // the agent calls Self/Beat this often; 0: it need not
  bool operator==(const Liveness&) const = default;
};

struct AgentSpec {
  RuntimeSpec runtime;
  BundleDigest bundle;
  Resources resources;
  Restart restart;
  Nanos stop_timeout = std::chrono::seconds(5);
  LogPolicy logs;
  Readiness readiness;
  Liveness liveness;
  std::optional<ExecProbe> startup;  // before its first success the other two are not judged
  std::vector<std::string> after;    // agents that must run, or have ended well, before it starts
  std::uint32_t priority = 50;       // 1 to 100; the higher one starts first
  bool operator==(const AgentSpec&) const = default;
};

// Name, labels and spec: all that `apply` brings.
struct AgentManifest {
  std::string name;
  std::map<std::string, std::string> labels;
  AgentSpec spec;
  bool operator==(const AgentManifest&) const = default;
};

}  // namespace flodea
