#include "supervisor/control/lifecycle/admission.h"

#include <algorithm>
#include <charconv>

#include "base/quantity.h"
#include "policy/profiled_runtimes.h"

namespace flodea::control {
namespace {

tl::unexpected<Error> refuse(Code code, std::string_view field, std::string message,
                             std::string_view remedy) {
  Error error = fail(code, std::move(message)).value();
  return tl::unexpected<Error>(std::move(error).with_field(field).with_remedy(remedy));
}

// A limit of the manifest, and the word of Host.limits without which it would be left out.
struct NeededLimit {
  std::string_view limit;
  std::string_view field;
  std::string_view why;
  std::string_view remedy;
};
constexpr NeededLimit kNeededLimits[] = {
    {"memory", "spec.resources.memory", "it has no memory controller",
     "mount the memory controller or boot with it enabled, then restart flodead"},
    {"swap", "spec.resources.memory",
     "it has swap, and its memory controller cannot keep an agent out of it",
     "swapoff -a, or boot with swapaccount=1, then restart flodead"},
    {"pids", "spec.resources.pids", "it has no pids controller",
     "mount the pids controller or boot with it enabled, then restart flodead"},
    {"cpu", "spec.resources.cpu", "it has no cpu controller",
     "mount the cpu controller or boot with it enabled, then restart flodead"},
};

Status admit_limits(const HostFacts& host) {
  for (const NeededLimit& needed : kNeededLimits) {
    if (std::ranges::find(host.limits, needed.limit) != host.limits.end()) continue;
    return refuse(Code::kFailedPrecondition, needed.field,
                  "this host cannot enforce it: " + std::string(needed.why), needed.remedy);
  }
  return {};
}

Status admit_memory(const AgentSpec& spec, const HostFacts& host) {
  std::uint64_t wanted = spec.resources.memory_bytes;
  bool bounded = host.max_memory_bytes != 0;  // a flodead of before does not say
  if (wanted <= host.memory_bytes && (!bounded || wanted <= host.max_memory_bytes)) return {};
  if (wanted <= host.memory_bytes)
    return refuse(Code::kFailedPrecondition, "spec.resources.memory",
                  format_bytes(wanted) + " of memory is more than all agents together may have (" +
                      format_bytes(host.max_memory_bytes) + ")",
                  "ask for less, or raise max-memory in flodead's settings");
  return refuse(Code::kFailedPrecondition, "spec.resources.memory",
                format_bytes(spec.resources.memory_bytes) +
                    " of memory is more than this host has (" + format_bytes(host.memory_bytes) +
                    ")",
                "ask for less, or use a larger host");
}

Status admit_pids(const AgentSpec& spec, const HostFacts& host) {
  if (host.max_pids == 0 || spec.resources.pids <= host.max_pids) return {};
  return refuse(Code::kFailedPrecondition, "spec.resources.pids",
                std::to_string(spec.resources.pids) +
                    " processes are more than all agents together may have (" +
                    std::to_string(host.max_pids) + ")",
                "ask for fewer, or raise kernel.pid_max and kernel.threads-max, then restart "
                "flodead");
}

Status admit_cpu(const AgentSpec& spec, const HostFacts& host) {
  if (spec.resources.cpu_millis <= host.cpus * 1000) return {};
  return refuse(Code::kFailedPrecondition, "spec.resources.cpu",
                std::to_string(spec.resources.cpu_millis) +
                    " thousandths of a core are more than this host's " +
                    std::to_string(host.cpus) + " cores",
                "ask for at most " + std::to_string(host.cpus));
}

// "3.9.2" is older than "3.11": number by number, what a version does not have being 0.
bool is_older(std::string_view version, std::string_view than) {
  auto next_number = [](std::string_view& text) {
    std::uint32_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    text.remove_prefix(text.starts_with('.') ? 1 : text.size());
    return error == std::errc{} ? number : 0;
  };
  while (!version.empty() || !than.empty()) {
    auto a = next_number(version), b = next_number(than);
    if (a != b) return a < b;
  }
  return false;
}

// What is wrong with this host's program of a runtime; nothing if it will do.
std::optional<std::string> fault_of(const ProfiledRuntime& runtime, const HostFacts& host) {
  auto found = host.runtimes.find(std::string(runtime.name));
  std::string needed = std::string(runtime.minimum_version) + " or newer is needed";
  if (found == host.runtimes.end())
    return "there is no " + std::string(runtime.executable) + ", " + needed;
  if (!is_older(found->second, runtime.minimum_version)) return std::nullopt;
  return std::string(runtime.executable) + " is " + found->second + ", " + needed;
}

Status admit_runtime(const AgentSpec& spec, const HostFacts& host) {
  auto wanted = std::ranges::find(kProfiledRuntimes, spec.runtime.type, &ProfiledRuntime::name);
  if (wanted == std::end(kProfiledRuntimes))
    return refuse(Code::kFailedPrecondition, "spec.runtime.type",
                  "this host has no " + spec.runtime.type + " runtime",
                  "use one that `flodea node` lists");
  auto fault = fault_of(*wanted, host);
  if (!fault) return {};
  return refuse(Code::kFailedPrecondition, "spec.runtime.type",
                "this host cannot run " + spec.runtime.type + " agents: " + *fault,
                "install " + std::string(wanted->minimum_version) + " or newer as " +
                    wanted->executable + ", then restart flodead");
}

Status admit_disk(const AgentSpec& spec, const HostRoom& room,
                  std::optional<std::uint64_t> volume_bytes) {
  std::uint64_t wanted = spec.resources.disk_bytes;
  if (volume_bytes && wanted < *volume_bytes) {
    return refuse(
        Code::kFailedPrecondition, "spec.resources.disk",
        "a volume cannot shrink: it is " + format_bytes(*volume_bytes) + ", the manifest says " +
            format_bytes(wanted),
        "keep " + format_bytes(*volume_bytes) + ", or remove the agent with its data first");
  }
  if (volume_bytes && wanted > *volume_bytes) {
    return refuse(Code::kFailedPrecondition, "spec.resources.disk",
                  "a volume cannot grow yet: it is " + format_bytes(*volume_bytes) +
                      ", the manifest says " + format_bytes(wanted),
                  "keep " + format_bytes(*volume_bytes) +
                      ", or apply it under another name with the larger disk");
  }
  std::uint64_t free =
      room.disk_free > room.disk_promised ? room.disk_free - room.disk_promised : 0;
  if (volume_bytes || image_bytes(wanted) <= free) return {};
  return refuse(Code::kResourceExhausted, "spec.resources.disk",
                "a volume of " + format_bytes(wanted) + " takes " +
                    format_bytes(image_bytes(wanted)) + " here, " + format_bytes(free) +
                    " are free",
                "ask for less, or make room in the state directory");
}

}  // namespace

std::vector<std::string> missing_runtimes(const HostFacts& host) {
  std::vector<std::string> missing;
  for (const ProfiledRuntime& runtime : kProfiledRuntimes) {
    if (auto fault = fault_of(runtime, host))
      missing.push_back("runtime " + std::string(runtime.name) + ": " + *fault);
  }
  return missing;
}

std::uint64_t image_bytes(std::uint64_t disk_bytes) {
  return disk_bytes + disk_bytes / 16 + 8 * kMiB;
}

Status admit(const AgentSpec& spec, const HostFacts& host, const HostRoom& room,
             std::optional<std::uint64_t> volume_bytes) {
  TRY(admit_runtime(spec, host));
  TRY(admit_limits(host));
  TRY(admit_memory(spec, host));
  TRY(admit_cpu(spec, host));
  TRY(admit_pids(spec, host));
  return admit_disk(spec, room, volume_bytes);
}

}  // namespace flodea::control
