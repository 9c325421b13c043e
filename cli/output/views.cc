// Agents, the node and events in words.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/event_kinds.h"
#include "base/quantity.h"
#include "cli/output/output.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

constexpr std::size_t kKindWidth =
    std::ranges::max(kEventKinds, {}, &std::string_view::size).size();

std::string cpu_text(const pb::Agent& agent) {
  if (!agent.has_usage()) return "-";
  return fmt::format("{:.2f}s", static_cast<double>(agent.usage().cpu_nanos()) / 1e9);
}

std::string memory_text(const pb::Agent& agent) {
  if (!agent.has_usage()) return "-";
  return format_bytes(agent.usage().memory_bytes()) + "/" + agent.spec().resources().memory();
}

// "failing (3 of 3)": as often as it takes.
bool has_failed(std::string_view probe) {
  std::size_t begin = probe.find('('), middle = probe.find(" of "), end = probe.find(')');
  if (begin >= middle || middle >= end || end == std::string_view::npos) return false;
  return probe.substr(begin + 1, middle - begin - 1) == probe.substr(middle + 4, end - middle - 4);
}

// A running agent that its readiness probe calls unready is one that runs all the same.
std::string state_text(const pb::Agent& agent) {
  std::string text(state_word(agent.state()));
  if (agent.frozen()) return text + " (frozen)";
  bool unready = has_failed(agent.health().readiness());
  return agent.state() == pb::STATE_RUNNING && unready ? text + " (not ready)" : text;
}

std::string reason_text(const pb::Agent& agent) {
  std::string text = why_text(agent.reason(), agent.message());
  return text.empty() ? "-" : printable(text);
}

// A map of protobuf's has another order each time.
template <class Map>
auto in_order(const Map& map) {
  return std::map(map.begin(), map.end());
}

// "name:    value" lines, in sections; the values of a section stand below each other.
class Sheet {
 public:
  void line(std::string_view name, std::string_view value) { add({"", 16}, name, value); }
  void section(std::string_view name) {
    end_rows();
    text_ += fmt::format("{}:\n", name);
  }
  void inner(std::string_view name, std::string_view value) { add({"  ", 18}, name, value); }
  std::string take() {
    end_rows();
    return std::move(text_);
  }

 private:
  struct Shape {
    std::string_view indent;
    std::size_t least;  // from a name's beginning to its value
  };
  void add(Shape shape, std::string_view name, std::string_view value) {
    if (shape.indent != shape_.indent) end_rows();
    shape_ = shape;
    rows_.emplace_back(fmt::format("{}:", name), value);
  }
  void end_rows() {
    std::size_t width = shape_.least;
    for (const auto& [name, value] : rows_) width = std::max(width, name.size() + 1);
    for (const auto& [name, value] : rows_)
      text_ += fmt::format("{}{:<{}}{}\n", shape_.indent, name, width, value);
    rows_.clear();
  }

  std::string text_;
  Shape shape_{"", 0};
  std::vector<std::pair<std::string, std::string>> rows_;  // not in the text yet
};

std::string revision_text(const pb::Agent& agent) {
  if (agent.proven_revision() == agent.revision()) return fmt::format("{}", agent.revision());
  return fmt::format("{}, not proven yet", agent.revision());
}

void write_state(const pb::Agent& agent, Nanos now, Sheet& sheet) {
  sheet.line("name", agent.name());
  sheet.line("id", agent.id());
  for (const auto& [key, value] : in_order(agent.labels())) sheet.line("label", key + "=" + value);
  sheet.line("state", fmt::format("{} for {}", state_text(agent), age(agent.state_since(), now)));
  sheet.line("desired", agent.desired_running() ? "running" : "stopped");
  sheet.line("reason", reason_text(agent));
  if (agent.has_exit_code()) sheet.line("exit code", std::to_string(agent.exit_code()));
  if (agent.has_next_start()) sheet.line("next start", time_text(agent.next_start()));
  sheet.line("restarts", std::to_string(agent.restarts()));
  std::string observed = agent.observed_revision() == agent.revision()
                             ? ""
                             : fmt::format(", {} runs", agent.observed_revision());
  sheet.line("generation",
             fmt::format("{} (revision {}{})", agent.generation(), revision_text(agent), observed));
  sheet.line("created", time_text(agent.created()));
}

std::string probe_text(const pb::ExecProbe& probe) {
  std::string command;
  for (const std::string& word : probe.command()) command += (command.empty() ? "" : " ") + word;
  return fmt::format("{}; every {}, within {}, {} failures", printable(command), probe.every(),
                     probe.timeout(), probe.failures());
}

std::string restart_text(const pb::Restart& restart) {
  if (restart.policy() == "never") return restart.policy();
  std::string retries =
      restart.max_retries() == 0xffffffff ? "no end" : std::to_string(restart.max_retries());
  return fmt::format("{}, {} retries, backoff {} to {}, forgets after {}", restart.policy(),
                     retries, restart.backoff().initial(), restart.backoff().max(),
                     restart.backoff().reset_after());
}

void write_spec(const pb::AgentSpec& spec, Sheet& sheet) {
  sheet.section("runtime");
  sheet.inner("type", spec.runtime().type());
  if (!spec.runtime().engine().empty()) sheet.inner("engine", spec.runtime().engine());
  sheet.inner("entrypoint", spec.runtime().entrypoint());
  for (const std::string& arg : spec.runtime().args()) sheet.inner("arg", printable(arg));
  for (const auto& [key, value] : in_order(spec.runtime().env()))
    sheet.inner("env", printable(key + "=" + value));
  if (!spec.runtime().packages().empty())
    sheet.inner("packages", printable(spec.runtime().packages()));
  sheet.inner("bundle", spec.bundle());
  for (const std::string& name : spec.after()) sheet.inner("after", name);
  sheet.section("limits");
  const pb::Resources& r = spec.resources();
  sheet.inner("memory", r.memory());
  sheet.inner("cpu", r.cpu());
  sheet.inner("pids", std::to_string(r.pids()));
  sheet.inner("disk", r.disk());
  sheet.inner("open files", std::to_string(r.open_files()));
  sheet.inner("calls", fmt::format("{}/s", r.calls_per_second()));
  sheet.inner("log rate", r.log_rate() + "/s");
  sheet.section("policy");
  sheet.inner("restart", restart_text(spec.restart()));
  sheet.inner("stop timeout", spec.stop_timeout());
  sheet.inner("log",
              fmt::format("keeps {}, {} when full", spec.logs().keep(), spec.logs().when_full()));
  sheet.inner("ready on", spec.readiness().signal());
  if (spec.has_startup()) sheet.inner("start-up probe", probe_text(spec.startup().exec()));
  if (spec.readiness().has_exec())
    sheet.inner("readiness probe", probe_text(spec.readiness().exec()));
  if (spec.liveness().has_exec()) sheet.inner("liveness probe", probe_text(spec.liveness().exec()));
  if (!spec.liveness().beat().empty())
    sheet.inner("beats", "at least every " + spec.liveness().beat());
}

void write_health(const pb::Agent& agent, Sheet& sheet) {
  const pb::Health& health = agent.health();
  if (health.startup().empty() && health.readiness().empty() && health.liveness().empty()) return;
  sheet.section("health");
  if (!health.startup().empty()) sheet.inner("start-up", health.startup());
  if (!health.readiness().empty()) sheet.inner("readiness", health.readiness());
  if (!health.liveness().empty()) sheet.inner("liveness", health.liveness());
  if (!health.message().empty()) sheet.inner("last failure", printable(health.message()));
}

void write_usage(const pb::Agent& agent, Sheet& sheet) {
  if (!agent.has_usage()) return;
  const pb::Usage& u = agent.usage();
  sheet.section("usage");
  sheet.inner("cpu", cpu_text(agent));
  sheet.inner("memory", fmt::format("{} (peak {})", format_bytes(u.memory_bytes()),
                                    format_bytes(u.memory_peak_bytes())));
  sheet.inner("pids", std::to_string(u.pids()));
  sheet.inner("disk", fmt::format("{} of {}", format_bytes(u.disk_used_bytes()),
                                  format_bytes(u.disk_size_bytes())));
  sheet.inner("calls", fmt::format("{} ({} throttled)", u.calls(), u.calls_throttled()));
  sheet.inner(
      "log",
      fmt::format("{} ({} lines dropped, waited {})", format_bytes(u.log_bytes()), u.log_dropped(),
                  format_duration(Nanos(static_cast<std::int64_t>(u.log_throttled_nanos())))));
  for (const auto& [name, count] : in_order(u.denied_syscalls()))
    sheet.inner("denied", fmt::format("{} × {}", printable(name), count));
}

void write_sandbox(const pb::Agent& agent, Sheet& sheet) {
  for (const pb::Phase& phase : agent.start_phases()) {
    if (&phase == &agent.start_phases(0)) sheet.section("last start");
    sheet.inner(phase.name(), format_duration(Nanos(static_cast<std::int64_t>(phase.nanos()))));
  }
  if (!agent.has_sandbox()) return;
  sheet.section("sandbox");
  if (std::uint32_t base = agent.sandbox().uid_base(); base != 0)
    sheet.inner("uids", fmt::format("{} to {}", base, base + 65'535));
  sheet.inner("seccomp", agent.sandbox().seccomp_profile());
  if (agent.has_usage()) {
    std::uint32_t abi = agent.sandbox().landlock_abi();
    sheet.inner("landlock", abi == 0 ? "none" : fmt::format("ABI {}", abi));
  }
  for (const std::string& what : agent.sandbox().missing()) sheet.inner("missing", what);
}

std::string transition_text(const pb::Event& event) {
  return fmt::format("{} → {}", event.from().empty() ? "new" : event.from(), event.to());
}

// Why, and by whom.
std::string cause_text(const pb::Event& event) {
  std::string text, why = why_text(event.reason(), event.message());
  if (!why.empty()) text += "  " + printable(why);
  if (!event.cause().empty()) text += fmt::format(" (by {})", printable(event.cause()));
  return text;
}

void write_transitions(const pb::Agent& agent, Sheet& sheet) {
  if (agent.transitions_size() == 0) return;
  sheet.section("last transitions");
  for (const pb::Event& event : agent.transitions()) {
    sheet.inner(time_text(event.time()), transition_text(event) + cause_text(event));
  }
}

void write_host(const pb::Node& node, Nanos now, Sheet& sheet) {
  sheet.line("version", node.version());
  sheet.line("hostname", node.hostname());
  sheet.line("kernel", node.kernel());
  sheet.line("cgroup", node.cgroup());
  sheet.line("landlock",
             node.landlock_abi() == 0 ? "no" : fmt::format("ABI {}", node.landlock_abi()));
  sheet.line("volumes", node.volume_backend());
  sheet.line("cpus", std::to_string(node.cpus()));
  sheet.line("memory", fmt::format("{}, {} promised to agents", format_bytes(node.memory_bytes()),
                                   format_bytes(node.memory_promised_bytes())));
  sheet.line("disk",
             fmt::format("{} free, {} promised to agents", format_bytes(node.disk_free_bytes()),
                         format_bytes(node.disk_promised_bytes())));
  sheet.line("started",
             fmt::format("{} ({} ago)", time_text(node.started()), age(node.started(), now)));
}

}  // namespace

std::string why_text(const std::string& reason, const std::string& message) {
  if (reason.empty() || message.empty()) return reason + message;
  std::string_view said = reason == "oom" ? "out of memory" : std::string_view(reason);
  std::string_view rest = message;
  bool again = rest.starts_with(said) && (rest.size() == said.size() ||
                                          rest.find_first_of(" :;,", said.size()) == said.size());
  return again ? message : reason + ": " + message;
}

std::string agents_table(const pb::ListResponse& list, Nanos now) {
  Table table({"NAME", "STATE", "RESTARTS", "AGE", "CPU", "MEMORY", "REASON"});
  for (const pb::Agent& agent : list.agents()) {
    table.add({agent.name(), state_text(agent), std::to_string(agent.restarts()),
               age(agent.created(), now), cpu_text(agent), memory_text(agent), reason_text(agent)});
  }
  return table.text();
}

std::string agent_row(const pb::Agent& agent, Nanos now) {
  return fmt::format("{:<24}  {:<9}  {:>8}  {:>4}  {}\n", agent.name(), state_word(agent.state()),
                     agent.restarts(), age(agent.state_since(), now), reason_text(agent));
}

std::string revisions_table(const pb::ListRevisionsResponse& list, Nanos now) {
  Table table({"REVISION", "AGE", "BY", "DIGEST", "BUNDLE", ""});
  auto brief = [](const std::string& digest) { return digest.substr(0, sizeof "sha256:" + 11); };
  for (const pb::Revision& one : list.revisions()) {
    std::string notes = one.current() ? "current" : one.restorable() ? "" : "its bundle is gone";
    table.add({std::to_string(one.revision()), one.has_created() ? age(one.created(), now) : "-",
               one.author().empty() ? "-" : one.author(), brief(one.digest()), brief(one.bundle()),
               notes});
  }
  return table.text();
}

std::string agent_text(const pb::Agent& agent, Nanos now) {
  Sheet sheet;
  write_state(agent, now, sheet);
  write_health(agent, sheet);
  write_spec(agent.spec(), sheet);
  write_usage(agent, sheet);
  write_sandbox(agent, sheet);
  write_transitions(agent, sheet);
  return sheet.take();
}

std::string node_text(const pb::Node& node, Nanos now) {
  Sheet sheet;
  write_host(node, now, sheet);
  for (const auto& [name, version] : in_order(node.runtimes()))
    sheet.line("runtime", name + " " + version);
  for (const auto& [state, count] : in_order(node.agents_by_state()))
    sheet.line("agents", fmt::format("{} {}", count, state));
  for (const auto& [name, bytes] : in_order(node.kept_volumes()))
    sheet.line("kept volume", fmt::format("{}, {} (the next agent of that name has it)", name,
                                          format_bytes(bytes)));
  for (const pb::Service& s : node.services())
    sheet.line("service",
               fmt::format("{} {}, {} restarts", s.name(), s.up() ? "up" : "DOWN", s.restarts()));
  for (const std::string& what : node.limits()) sheet.line("limit", what);
  for (const std::string& what : node.missing()) sheet.line("missing", what);
  return sheet.take();
}

std::string event_text(const pb::Event& event) {
  std::string text = fmt::format("{}  {:<{}}  {}", time_text(event.time()), event.kind(),
                                 kKindWidth, event.agent().empty() ? "-" : event.agent());
  if (!event.to().empty()) text += "  " + transition_text(event);
  return text + cause_text(event) + "\n";
}

}  // namespace flodea::cli
