// Each attack of a hostile worker, through the real gateway in a process of its own: its connection
// is closed or idle, control's memory grows by less than 8 MB, another agent's calls are answered.
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace {

struct Report {
  std::map<std::string, long> numbers;
  std::set<std::string> limits;  // that were hit
};

Report run(const std::string& arguments) {
  std::string command = std::string(FLODEA_HOSTILE_WORKER) + " " + arguments;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  REQUIRE(pipe != nullptr);
  Report report;
  char name[64];
  char value[64];
  while (std::fscanf(pipe.get(), "%63s %63s", name, value) == 2) {
    if (std::string(name) == "limit") {
      report.limits.insert(value);
    } else {
      report.numbers[name] = std::stol(value);
    }
  }
  REQUIRE(report.numbers.contains("growth_kib"));
  return report;
}

struct Case {
  const char* attack;
  bool closed;        // else left idle or slowed
  const char* limit;  // what the event names
};

constexpr Case kCases[] = {
    {"garbage", true, "preface"},
    {"garbage_after_preface", true, "frame_bytes"},
    {"long_message", true, "flow_control"},
    {"long_frame", true, "frame_bytes"},
    {"streams_without_ack", true, "open_streams"},
    {"streams_with_ack", true, "open_streams"},
    {"rapid_reset", false, "resets"},
    {"continuation_flood", true, "header_block"},
    {"ping_flood", true, "control_frames"},
    {"settings_flood", true, "control_frames"},
    {"empty_frames", false, "frames"},
    {"half_preface", true, "preface_deadline"},
    {"reads_nothing", false, ""},
    {"half_messages", false, ""},
};

}  // namespace

TEST_CASE("the attacks hurt a gRPC server that nothing guards") {
  for (const char* attack : {"streams_without_ack", "rapid_reset", "half_messages"}) {
    Report bare = run(std::string("bare ") + attack);
    INFO(attack << " grew the bare server by " << bare.numbers["growth_kib"] << " KiB");
    CHECK(bare.numbers["growth_kib"] > 8 * 1024);
  }
}

TEST_CASE("no attack of a hostile worker costs control 8 MB, or another agent its calls") {
  for (const Case& c : kCases) {
    Report report = run(std::string("guarded ") + c.attack + (c.closed ? " until-closed" : ""));
    INFO(c.attack << ": growth " << report.numbers["growth_kib"] << " KiB, closed "
                  << report.numbers["closed"] << ", accepted " << report.numbers["accepted"]
                  << ", others' slowest call " << report.numbers["slowest_us"] << " us");
    CHECK(report.numbers["growth_kib"] < 8 * 1024);
    CHECK(report.numbers["failed"] == 0);
    CHECK(report.numbers["answered"] > 200);
    if (c.closed) CHECK(report.numbers["closed"] == 1);
    if (c.limit[0] != '\0') CHECK(report.limits.contains(c.limit));
  }
}
