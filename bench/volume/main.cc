// bench-volume: Flodea's encrypted volume beside the same ext4 unencrypted and gocryptfs, in one
// run, rounds interleaved so that a slow moment of the machine meets all of them. Needs root. Exit
// status with --check: 1 when a ratio is over the promised limit.
#include <sys/mount.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>

#include <CLI/CLI.hpp>

#include "bench/volume/targets.h"
#include "bench/volume/workloads.h"
#include "supervisor/helper/volume/file_system.h"
#include "supervisor/helper/volume/volume.h"

namespace flodea::bench {
namespace {

struct Options {
  std::string dir = "/var/tmp";
  std::string program = FLODEA_VAULT_PROGRAM;
  unsigned rounds = 5;
  double limit = 1.8;
  bool quick = false;
  bool check = false;
  bool no_gocryptfs = false;
  bool best = false;
  std::string only;
};

volatile std::sig_atomic_t g_stop = 0;  // set by SIGINT and SIGTERM: what was set up is taken down

// Milliseconds by workload, then by target, one per round.
using Samples = std::map<std::string, std::map<std::string, std::vector<double>>>;

class TemporaryDir {
 public:
  static Result<TemporaryDir> create(const std::string& parent) {
    std::string pattern = parent + "/flodea-bench-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return fail_errno("mkdtemp " + pattern);
    std::filesystem::permissions(pattern, std::filesystem::perms(0711));
    return TemporaryDir(pattern);
  }
  TemporaryDir(TemporaryDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDir& operator=(TemporaryDir&&) = delete;
  ~TemporaryDir() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double best(const std::vector<double>& values) { return std::ranges::min(values); }

Scale scale_for(const Options& options, std::string tar) {
  if (options.quick)
    return {.file_bytes = 48ull << 20,
            .random_operations = 1024,
            .small_files = 2000,
            .syncs = 50,
            .tar = std::move(tar)};
  return {.file_bytes = 256ull << 20,
          .random_operations = 8192,
          .small_files = 10'000,
          .syncs = 200,
          .tar = std::move(tar)};
}

Result<std::vector<std::unique_ptr<Target>>> make_targets(const Options& options,
                                                          const std::string& dir) {
  std::uint64_t bytes = options.quick ? 192ull << 20 : 768ull << 20;
  auto vault = TRY(start_vault_target(options.program, dir, bytes));
  TRY(volume::enter_private_mount_namespace());
  std::vector<std::unique_ptr<Target>> targets;
  targets.push_back(TRY(make_plain_target(dir, bytes)));
  TRY(vault->attach(dir + "/flodea"));
  targets.push_back(std::move(vault));
  if (options.no_gocryptfs) return targets;
  auto other = make_gocryptfs_target(dir);
  if (other)
    targets.push_back(std::move(*other));
  else
    std::fprintf(stderr, "without gocryptfs: %s\n", other.error().describe().c_str());
  return targets;
}

// With --only the first round still prepares what that workload needs.
bool is_wanted(const Options& options, const Workload& workload, unsigned round) {
  return options.only.empty() || options.only == workload.name || (round == 0 && workload.prepares);
}

Status run_round(const Options& options, unsigned round, const Scale& scale,
                 std::vector<std::unique_ptr<Target>>& targets, Samples& samples) {
  for (const Workload& workload : workloads()) {
    if (!is_wanted(options, workload, round)) continue;
    for (auto& target : targets) {
      if (g_stop != 0) return fail(Code::kCancelled, "interrupted");
      auto elapsed =
          TRY_CONTEXT(workload.run(target->dir(), scale), workload.name + " on " + target->name());
      samples[workload.name][target->name()].push_back(static_cast<double>(elapsed.count()) / 1e6);
    }
  }
  std::ranges::rotate(targets, targets.begin() + 1);
  return {};
}

bool print_table(const Samples& samples, const Options& options) {
  bool within = true;
  double limit = options.limit;
  std::printf("%-20s %12s %12s %7s %12s %7s\n",
              options.best ? "best of rounds, ms" : "median of rounds, ms", "plain ext4", "flodea",
              "ratio", "gocryptfs", "ratio");
  for (const Workload& workload : workloads()) {
    auto row = samples.find(workload.name);
    if (row == samples.end()) continue;
    auto of = [&](const char* target) {
      if (!row->second.contains(target)) return 0.0;
      return options.best ? best(row->second.at(target)) : median(row->second.at(target));
    };
    double plain = of("plain loop ext4"), ours = of("flodea"), other = of("gocryptfs");
    within &= ours <= limit * plain;
    std::printf("%-20s %12.1f %12.1f %6.2f%s %12.1f %7.2f\n", workload.name.c_str(), plain, ours,
                ours / plain, ours > limit * plain ? "!" : " ", other, other / plain);
  }
  return within;
}

Result<bool> run(const Options& options) {
  auto dir = TRY(TemporaryDir::create(options.dir));
  Scale scale = scale_for(options, TRY(make_archive(dir.path(), options.quick ? 500 : 3000)));
  auto targets = TRY(make_targets(options, dir.path()));
  Samples samples;
  for (unsigned round = 0; round < options.rounds; ++round) {
    std::fprintf(stderr, "round %u of %u\n", round + 1, options.rounds);
    TRY(run_round(options, round, scale, targets, samples));
  }
  return print_table(samples, options);
}

}  // namespace
}  // namespace flodea::bench

int main(int argc, char** argv) {
  flodea::bench::Options options;
  CLI::App app{"Flodea's encrypted volume against plain loop ext4 and gocryptfs."};
  app.add_option("--dir", options.dir, "a directory on the disk to measure")->capture_default_str();
  app.add_option("--vault", options.program, "the flodea-vault to run")->capture_default_str();
  app.add_option("--rounds", options.rounds, "how often each workload is run on each")
      ->capture_default_str();
  app.add_option("--limit", options.limit, "the promised ratio")->capture_default_str();
  app.add_option("--only", options.only, "this workload alone");
  app.add_flag("--quick", options.quick, "small sizes: for CI");
  app.add_flag("--check", options.check, "exit with 1 when a ratio is over the limit");
  app.add_flag("--best", options.best,
               "the smallest time of each instead of the median: on a busy machine");
  app.add_flag("--no-gocryptfs", options.no_gocryptfs);
  CLI11_PARSE(app, argc, argv);
  for (int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { flodea::bench::g_stop = 1; });
  auto within = flodea::bench::run(options);
  if (!within) {
    std::fprintf(stderr, "bench-volume: %s\n", within.error().describe().c_str());
    return 1;
  }
  return options.check && !*within ? 1 : 0;
}
