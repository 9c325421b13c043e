#include "supervisor/control/monitoring/metrics_exporter.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "base/unique_fd.h"

namespace flodea::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

AgentView agent(const std::string& name, AgentState state) {
  AgentView view;
  view.manifest.name = name;
  view.state = state;
  if (state == AgentState::kRunning) {
    view.usage = AgentUsage{.cpu_nanos = 1'500'000'000,
                            .memory_bytes = 4096,
                            .memory_peak_bytes = 8192,
                            .pids = 3,
                            .disk_used_bytes = 10,
                            .disk_size_bytes = 100,
                            .calls = 7,
                            .calls_throttled = 2,
                            .log_bytes = 55,
                            .log_dropped = 1,
                            .log_throttled = milliseconds(250),
                            .denied_syscalls = {{"ptrace", 2}, {"bpf", 3}}};
  }
  return view;
}

MetricsExporter::Collect answering(std::vector<AgentView> agents) {
  return [agents](auto answer) { answer(agents); };
}

std::unique_ptr<MetricsExporter> start(MetricsExporter::Collect collect,
                                       MetricsConfig config = {}) {
  config.address = "127.0.0.1:0";
  config.version = "1.2.3";
  auto exporter = MetricsExporter::start(config, std::move(collect));
  REQUIRE(exporter);
  return std::move(*exporter);
}

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  timeval patience{.tv_sec = 20, .tv_usec = 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
  return fd;
}

std::string scrape(const MetricsExporter& exporter) {
  UniqueFd fd = connect_to(exporter.port());
  REQUIRE(write_all(fd.get(), "GET /metrics HTTP/1.0\r\n\r\n"));
  auto answer = read_all(fd.get(), 10 << 20);
  REQUIRE(answer);
  REQUIRE(answer->starts_with("HTTP/1.1 200"));
  return answer->substr(answer->find("\r\n\r\n") + 4);
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

// As `promtool check metrics` does: every family has HELP and TYPE before its samples, once; names,
// labels, suffixes and units are as https://prometheus.io/docs/practices/naming/ wants them; no
// series twice.
std::vector<std::string> lint(const std::string& text) {
  static const std::regex kName("[a-z][a-z0-9_]*");
  static const std::regex kSample(
      R"re(([a-zA-Z0-9_:]+)(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|\+Inf|NaN))re");
  std::vector<std::string> problems;
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  std::set<std::string> series;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("exposer_") < 8) continue;  // prometheus-cpp's own: not ours to name
    std::istringstream words(line);
    std::string hash, what, name;
    if (line.starts_with("# ")) {
      words >> hash >> what >> name;
      std::string rest;
      std::getline(words, rest);
      if (rest.size() < 2) problems.push_back(name + ": empty " + what);
      if (what == "HELP" && !helped.insert(name).second) problems.push_back(name + ": HELP twice");
      if (what == "TYPE" && !types.emplace(name, rest.substr(1)).second)
        problems.push_back(name + ": TYPE twice");
      if (!std::regex_match(name, kName)) problems.push_back(name + ": name");
      if (!name.starts_with("flodea_") && !name.starts_with("process_"))
        problems.push_back(name + ": prefix");
      bool total = name.ends_with("_total");
      if (what == "TYPE" && total != (rest == " counter"))
        problems.push_back(name + ": _total is for counters");
      if (what == "TYPE" && rest == " histogram" && !name.ends_with("_seconds"))
        problems.push_back(name + ": unit");
      for (const char* unit : {"_milliseconds", "_ms", "_nanos", "_kilobytes", "_mb", "_percent"}) {
        if (name.find(unit) != std::string::npos) problems.push_back(name + ": not a base unit");
      }
      continue;
    }
    std::smatch sample;
    if (!std::regex_match(line, sample, kSample)) {
      problems.push_back("not a sample: " + line);
      continue;
    }
    std::string family = sample[1];
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      std::string stem = family.ends_with(suffix)
                             ? family.substr(0, family.size() - std::string_view(suffix).size())
                             : "";
      if (types.contains(stem) && types[stem] == "histogram") family = stem;
    }
    if (!types.contains(family) || !helped.contains(family))
      problems.push_back(family + ": sample before HELP and TYPE");
    if (!series.insert(line.substr(0, line.rfind(' '))).second)
      problems.push_back("twice: " + line);
  }
  if (series.empty()) problems.push_back("no samples");
  return problems;
}

TEST_CASE("the lint finds what is wrong") {  // else the next test would be hollow
  CHECK(!lint("").empty());
  CHECK(!lint("flodea_x 1\n").empty());
  CHECK(!lint("# HELP flodea_x_total h\n# TYPE flodea_x_total gauge\nflodea_x_total 1\n").empty());
  CHECK(!lint("# HELP flodea_x h\n# TYPE flodea_x counter\nflodea_x 1\n").empty());
  CHECK(!lint("# HELP flodea_x_ms h\n# TYPE flodea_x_ms gauge\nflodea_x_ms 1\n").empty());
  CHECK(!lint("# HELP flodea_x h\n# TYPE flodea_x gauge\nflodea_x 1\nflodea_x 2\n").empty());
  CHECK(lint("# HELP flodea_x h\n# TYPE flodea_x gauge\nflodea_x 1\n").empty());
}

TEST_CASE("a scrape shows agents by state and what each uses, by Prometheus' conventions") {
  auto exporter = start(
      answering({agent("ledger", AgentState::kRunning), agent("watcher", AgentState::kStopped)}),
      {.revision = "abc"});
  exporter->call_ended("ledger", "flodea.kernel.v1.Clock/Now", "OK", std::chrono::microseconds(70));
  exporter->started("ledger", {{"volume", milliseconds(3)}, {"exec", milliseconds(20)}});
  exporter->restarted("ledger");
  exporter->service_restarted("flodea-vault");
  auto text = scrape(*exporter);
  CAPTURE(text);
  CHECK(lint(text).empty());
  for (
      const char* line : {
          R"(flodea_build_info{version="1.2.3",revision="abc"} 1)",
          R"(flodea_agents{state="running"} 1)",
          R"(flodea_agents{state="stopped"} 1)",
          R"(flodea_agents{state="failed"} 0)",
          R"(flodea_agent_cpu_seconds_total{agent="ledger"} 1.5)",
          R"(flodea_agent_memory_bytes{agent="ledger"} 4096)",
          R"(flodea_agent_memory_peak_bytes{agent="ledger"} 8192)",
          R"(flodea_agent_pids{agent="ledger"} 3)",
          R"(flodea_agent_disk_used_bytes{agent="ledger"} 10)",
          R"(flodea_agent_disk_size_bytes{agent="ledger"} 100)",
          R"(flodea_agent_restarts_total{agent="ledger"} 1)",
          R"(flodea_agent_restarts_total{agent="watcher"} 0)",
          R"(flodea_agent_calls_total{agent="ledger"} 7)",
          R"(flodea_agent_calls_throttled_total{agent="ledger"} 2)",
          R"(flodea_agent_log_bytes_total{agent="ledger"} 55)",
          R"(flodea_agent_log_lines_dropped_total{agent="ledger"} 1)",
          R"(flodea_agent_log_throttled_seconds_total{agent="ledger"} 0.25)",
          R"(flodea_agent_denied_syscalls_total{agent="ledger"} 5)",
          R"(flodea_module_calls_total{agent="ledger",method="flodea.kernel.v1.Clock/Now",code="OK"} 1)",
          R"(flodea_module_call_duration_seconds_bucket{method="flodea.kernel.v1.Clock/Now",code="OK",le="+Inf"} 1)",
          R"(flodea_agent_start_duration_seconds_count{phase="volume"} 1)",
          R"(flodea_service_restarts_total{service="flodea-vault"} 1)",
      }) {
    CHECK(has_line(text, line));
  }
  CHECK(text.find("flodea_agent_memory_bytes{agent=\"watcher\"}") == std::string::npos);
  CHECK(text.find("process_resident_memory_bytes ") != std::string::npos);
  CHECK(text.find("process_cpu_seconds_total ") != std::string::npos);
}

TEST_CASE("every family is in docs/metrics.md, and the page names no other") {
  auto exporter = start(answering({agent("a", AgentState::kRunning)}));
  exporter->call_ended("a", "M/X", "OK", milliseconds(1));
  exporter->started("a", {{"exec", milliseconds(1)}});
  exporter->service_restarted("flodea-vault");
  std::ifstream file(FLODEA_METRICS_PAGE);
  std::string page(std::istreambuf_iterator<char>(file), {});
  REQUIRE(!page.empty());
  auto names = [](const std::string& text, const std::regex& pattern) {
    std::set<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
      found.insert((*it)[1]);
    }
    return found;
  };
  CHECK(names(page, std::regex("\\| `((flodea|process)_[a-z_]+)")) ==
        names(scrape(*exporter), std::regex("# TYPE ((flodea|process)_[a-z_]+)")));
}

TEST_CASE("when the agents are not told in time, the last answer is shown with its age") {
  std::vector<std::function<void(std::vector<AgentView>)>> asked;
  std::mutex mutex;
  bool late = false;
  auto collect = [&](auto answer) {
    std::lock_guard lock(mutex);
    if (!late)
      answer({agent("a", AgentState::kRunning)});
    else
      asked.push_back(answer);
  };
  auto exporter = start(collect, {.collect_timeout = milliseconds(50)});
  CHECK(has_line(scrape(*exporter), R"(flodea_agents{state="running"} 1)"));
  {
    std::lock_guard lock(mutex);
    late = true;
  }
  auto begin = std::chrono::steady_clock::now();
  auto text = scrape(*exporter);
  CHECK(std::chrono::steady_clock::now() - begin < seconds(5));
  CHECK(has_line(text, R"(flodea_agents{state="running"} 1)"));
  std::smatch age;
  REQUIRE(
      std::regex_search(text, age, std::regex("flodea_agents_snapshot_age_seconds ([0-9.e-]+)")));
  CHECK(std::stod(age[1]) >= 0.05);
  exporter.reset();
  REQUIRE(asked.size() == 1);
  asked[0]({});  // an answer after the end harms nothing
}

TEST_CASE("idle connections do not keep scrapes out") {
  auto exporter = start(answering({}));
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 8; ++i) idle.push_back(connect_to(exporter->port()));
  REQUIRE(write_all(idle[0].get(), "GET /met"));  // half a request
  auto begin = std::chrono::steady_clock::now();
  CHECK(!scrape(*exporter).empty());
  CHECK(std::chrono::steady_clock::now() - begin < seconds(10));  // Prometheus' own time-out
}

TEST_CASE("a taken port is one clear error that names address, setting and remedy") {
  auto first = start(answering({}));
  auto address = fmt::format("127.0.0.1:{}", first->port());
  auto second = MetricsExporter::start({.address = address}, answering({}));
  REQUIRE(!second);
  CHECK(second.error().describe() ==
        address +
            " is in use by another program (field --metrics); "
            "end what listens there, or choose another with --metrics ADDR:PORT");
  first.reset();
  CHECK(MetricsExporter::start({.address = address}, answering({})));  // free again at once
}

TEST_CASE("an address that is not loopback needs to be allowed") {
  auto refused = MetricsExporter::start({.address = "0.0.0.0:0"}, answering({}));
  REQUIRE(!refused);
  CHECK(refused.error().code == Code::kInvalidArgument);
  CHECK(refused.error().describe().find("loopback") != std::string::npos);
  CHECK(MetricsExporter::start({.address = "0.0.0.0:0", .reach = MetricsReach::kNetwork},
                               answering({})));
}

TEST_CASE("without an address nothing is served, and counting goes on") {
  auto exporter = MetricsExporter::start({}, nullptr);
  REQUIRE(exporter);
  CHECK((*exporter)->port() == 0);
  (*exporter)->restarted("a");
}

TEST_CASE("an agent's name cannot break out of its label") {
  auto exporter = start(answering({agent("a\"} 1\nflodea_evil 1\n#\\", AgentState::kRunning)}));
  auto text = scrape(*exporter);
  CAPTURE(text);
  CHECK(lint(text).empty());
  CHECK(!has_line(text, "flodea_evil 1"));
}

}  // namespace
}  // namespace flodea::control
