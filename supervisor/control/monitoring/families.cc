#include "supervisor/control/monitoring/families.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <sstream>

#include "base/safe_path.h"
#include "base/unique_fd.h"

namespace flodea::control {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNanosPerSecond = 1e9;

// One line per family: what of an agent's usage it shows.
struct UsageFamily {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const AgentUsage&);
};

double sum_of(const std::map<std::string, std::uint64_t>& counts) {
  double sum = 0;
  for (const auto& [name, count] : counts) sum += static_cast<double>(count);
  return sum;
}

constexpr std::array kUsageFamilies = {
    UsageFamily{
        "flodea_agent_cpu_seconds_total", "CPU time of the agent's running instance.",
        MetricType::Counter,
        [](const AgentUsage& u) { return static_cast<double>(u.cpu_nanos) / kNanosPerSecond; }},
    UsageFamily{"flodea_agent_memory_bytes", "Memory charged to the agent's cgroup.",
                MetricType::Gauge,
                [](const AgentUsage& u) { return static_cast<double>(u.memory_bytes); }},
    UsageFamily{"flodea_agent_memory_peak_bytes",
                "Highest memory charged to the agent's running instance.", MetricType::Gauge,
                [](const AgentUsage& u) { return static_cast<double>(u.memory_peak_bytes); }},
    UsageFamily{"flodea_agent_pids", "Processes and threads in the agent's cgroup.",
                MetricType::Gauge, [](const AgentUsage& u) { return static_cast<double>(u.pids); }},
    UsageFamily{"flodea_agent_disk_used_bytes", "Bytes used on the agent's volume.",
                MetricType::Gauge,
                [](const AgentUsage& u) { return static_cast<double>(u.disk_used_bytes); }},
    UsageFamily{"flodea_agent_disk_size_bytes", "Usable size of the agent's volume.",
                MetricType::Gauge,
                [](const AgentUsage& u) { return static_cast<double>(u.disk_size_bytes); }},
    UsageFamily{"flodea_agent_calls_total", "Module calls of the agent.", MetricType::Counter,
                [](const AgentUsage& u) { return static_cast<double>(u.calls); }},
    UsageFamily{"flodea_agent_calls_throttled_total",
                "Module calls that waited for the agent's call rate.", MetricType::Counter,
                [](const AgentUsage& u) { return static_cast<double>(u.calls_throttled); }},
    UsageFamily{"flodea_agent_log_bytes_total", "Bytes of text taken into the agent's log.",
                MetricType::Counter,
                [](const AgentUsage& u) { return static_cast<double>(u.log_bytes); }},
    UsageFamily{"flodea_agent_log_lines_dropped_total",
                "Log lines lost by the agent's own policy `drop`.", MetricType::Counter,
                [](const AgentUsage& u) { return static_cast<double>(u.log_dropped); }},
    UsageFamily{"flodea_agent_log_throttled_seconds_total",
                "Time the agent's output waited for its log rate.", MetricType::Counter,
                [](const AgentUsage& u) {
                  return static_cast<double>(u.log_throttled.count()) / kNanosPerSecond;
                }},
    UsageFamily{"flodea_agent_denied_syscalls_total",
                "System calls that the agent's seccomp profile refused.", MetricType::Counter,
                [](const AgentUsage& u) { return sum_of(u.denied_syscalls); }},
};

constexpr std::array kStates = {AgentState::kPending, AgentState::kPreparing, AgentState::kStarting,
                                AgentState::kRunning, AgentState::kStopping,  AgentState::kStopped,
                                AgentState::kBackoff, AgentState::kFailed};

MetricFamily family_of(std::string name, std::string help, MetricType type) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

MetricFamily by_state(const std::vector<AgentView>& agents) {
  auto family = gauge_family("flodea_agents", "Agents by state.");
  for (AgentState state : kStates) {
    auto count = std::count_if(agents.begin(), agents.end(),
                               [state](const AgentView& agent) { return agent.state == state; });
    add_gauge(family, {{"state", state_name(state)}}, static_cast<double>(count));
  }
  return family;
}

MetricFamily by_agent(const UsageFamily& row, const std::vector<AgentView>& agents) {
  auto family = family_of(row.name, row.help, row.type);
  for (const AgentView& agent : agents) {
    if (!agent.usage) continue;
    auto* add = row.type == MetricType::Counter ? add_counter : add_gauge;
    add(family, {{"agent", agent.manifest.name}}, row.value(*agent.usage));
  }
  return family;
}

struct ProcessStat {
  double cpu_seconds = 0, start_ticks = 0, virtual_bytes = 0, resident_bytes = 0;
};

Result<std::string> read_proc(const char* path) {
  UniqueFd fd = TRY(adopt_fd(::open(path, O_RDONLY | O_CLOEXEC), path));
  return read_all(fd.get(), 1 << 20);
}

// proc(5), /proc/self/stat: the fields after the command's name, which may itself hold spaces and
// brackets.
std::optional<ProcessStat> read_stat() {
  auto text = read_proc("/proc/self/stat");
  if (!text || text->rfind(')') == std::string::npos) return std::nullopt;
  std::istringstream rest(text->substr(text->rfind(')') + 1));
  std::array<std::string, 22> field;  // 3 … 24
  for (std::string& word : field) rest >> word;
  if (!rest) return std::nullopt;
  auto number = [&](std::size_t index) { return std::strtod(field[index - 3].c_str(), nullptr); };
  auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return ProcessStat{.cpu_seconds = (number(14) + number(15)) / ticks,
                     .start_ticks = number(22) / ticks,
                     .virtual_bytes = number(23),
                     .resident_bytes = number(24) * static_cast<double>(::sysconf(_SC_PAGESIZE))};
}

std::optional<double> boot_time() {
  auto text = read_proc("/proc/stat");
  if (!text) return std::nullopt;
  auto at = text->find("\nbtime ");
  if (at == std::string::npos) return std::nullopt;
  return std::strtod(text->c_str() + at + 7, nullptr);
}

std::optional<double> open_descriptors() {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), ::closedir);
  if (!directory) return std::nullopt;
  double count = -3;  // ".", ".." and the listing's own
  while (::readdir(directory.get()) != nullptr) ++count;
  return count;
}

}  // namespace

MetricFamily counter_family(std::string name, std::string help) {
  return family_of(std::move(name), std::move(help), MetricType::Counter);
}
MetricFamily gauge_family(std::string name, std::string help) {
  return family_of(std::move(name), std::move(help), MetricType::Gauge);
}
MetricFamily histogram_family(std::string name, std::string help) {
  return family_of(std::move(name), std::move(help), MetricType::Histogram);
}

void add_counter(MetricFamily& family, std::vector<Label> labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  family.metric.push_back(std::move(metric));
}

void add_gauge(MetricFamily& family, std::vector<Label> labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

void add_histogram(MetricFamily& family, std::vector<Label> labels, ClientMetric metric) {
  metric.label = std::move(labels);
  family.metric.push_back(std::move(metric));
}

std::vector<MetricFamily> agent_families(const std::vector<AgentView>& agents) {
  std::vector<MetricFamily> families{by_state(agents)};
  for (const UsageFamily& row : kUsageFamilies) families.push_back(by_agent(row, agents));
  return families;
}

std::vector<MetricFamily> process_families() {
  std::vector<MetricFamily> families;
  auto gauge = [&](const char* name, const char* help, std::optional<double> value) {
    if (value) add_gauge(families.emplace_back(gauge_family(name, help)), {}, *value);
  };
  if (auto stat = read_stat()) {
    add_counter(families.emplace_back(
                    counter_family("process_cpu_seconds_total", "CPU time of flodea-control.")),
                {}, stat->cpu_seconds);
    gauge("process_resident_memory_bytes", "Resident memory of flodea-control.",
          stat->resident_bytes);
    gauge("process_virtual_memory_bytes", "Virtual memory of flodea-control.", stat->virtual_bytes);
    if (auto boot = boot_time())
      gauge("process_start_time_seconds", "Start of flodea-control, Unix time.",
            *boot + stat->start_ticks);
  }
  gauge("process_open_fds", "Open descriptors of flodea-control.", open_descriptors());
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    gauge("process_max_fds", "Limit of open descriptors.", static_cast<double>(files.rlim_cur));
  }
  return families;
}

}  // namespace flodea::control
