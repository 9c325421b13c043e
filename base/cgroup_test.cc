// base/cgroup over plain directories laid out as v1 hierarchies: what is asked of a host that
// cannot enforce it.
#include "base/cgroup.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace flodea;

namespace {

namespace fs = std::filesystem;
constexpr CgroupLimits kLimits{.memory_bytes = 64 << 20, .cpu_millis = 500, .pids = 20};
constexpr const char* kSwapLimit = "memory.memsw.limit_in_bytes";

// A host with these v1 controllers, and a group "a" whose files are there already: the kernel makes
// them, a plain directory does not.
class PlainHost {
 public:
  explicit PlainHost(const std::vector<CgroupController>& controllers) {
    char pattern[] = "/tmp/flodea-cgroup-XXXXXX";
    dir_ = ::mkdtemp(pattern);
    hierarchies.layout = CgroupLayout::kHybridV1;
    hierarchies.own.fill("/");
    hierarchies.swaps = (dir_ / "swaps").string();
    put("swaps", "Filename Type Size Used Priority\n");
    mount(CgroupController::kUnified, {"cgroup.events"});
    for (CgroupController controller : controllers) mount(controller, files(controller));
  }
  ~PlainHost() { fs::remove_all(dir_); }

  void swap_on() { put("swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"); }
  void limit_swap() {
    put("memory/flodea-t/" + std::string(kSwapLimit), "");
    put("memory/flodea-t/a/" + std::string(kSwapLimit), "");
  }
  Result<CgroupTree> tree() { return CgroupTree::create(hierarchies, "t"); }
  std::string read(const std::string& path) {
    std::ifstream file(dir_ / path);
    std::string text;
    std::getline(file, text);
    return text;
  }
  bool has(const std::string& path) { return fs::exists(dir_ / path); }

  CgroupHierarchies hierarchies;

 private:
  static std::vector<std::string> files(CgroupController controller) {
    if (controller == CgroupController::kMemory) return {"memory.limit_in_bytes"};
    if (controller == CgroupController::kPids) return {"pids.max"};
    if (controller == CgroupController::kCpu) return {"cpu.cfs_quota_us"};
    return {};
  }
  void mount(CgroupController controller, const std::vector<std::string>& names) {
    std::string name(controller_name(controller));
    hierarchies.mount[static_cast<std::size_t>(controller)] = (dir_ / name).string();
    fs::create_directories(dir_ / name / "flodea-t" / "a");
    for (const std::string& file : names) put(name + "/flodea-t/a/" + file, "");
  }
  void put(const std::string& path, const std::string& text) { std::ofstream(dir_ / path) << text; }
  fs::path dir_;
};

const std::vector<CgroupController> kAll{CgroupController::kMemory, CgroupController::kPids,
                                         CgroupController::kCpu};

}  // namespace

TEST_CASE("every limit that is asked for is written") {
  PlainHost host(kAll);
  REQUIRE(host.tree()->make("a", kLimits));
  CHECK(host.read("memory/flodea-t/a/memory.limit_in_bytes") == "67108864");
  CHECK(host.read("pids/flodea-t/a/pids.max") == "20");
  CHECK(host.read("cpu/flodea-t/a/cpu.cfs_quota_us") == "50000");
}

TEST_CASE("a limit without its controller is refused by name, and nothing is made") {
  CgroupController lacking =
      GENERATE(CgroupController::kMemory, CgroupController::kPids, CgroupController::kCpu);
  std::vector<CgroupController> rest = kAll;
  std::erase(rest, lacking);
  PlainHost host(rest);
  auto made = host.tree()->make("b", kLimits);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Code::kFailedPrecondition);
  CHECK(made.error().message.find(controller_name(lacking)) != std::string::npos);
  CHECK_FALSE(made.error().remedy.empty());
  CHECK_FALSE(host.has("unified/flodea-t/b"));
}

TEST_CASE("a limit that nobody asks for needs no controller") {
  PlainHost host({CgroupController::kMemory});
  CHECK(host.tree()->make("a", {.memory_bytes = 64 << 20}));
}

TEST_CASE("without swap there is nothing to keep agents out of") {
  PlainHost host(kAll);
  auto tree = host.tree();
  CHECK(tree->capabilities().swap);
  CHECK(tree->make("a", kLimits));
  host.swap_on();  // later: looked for at each start
  CHECK(tree->make("a", kLimits).error().code == Code::kFailedPrecondition);
}

TEST_CASE("swap that cannot be limited is refused; swap that can is limited") {
  PlainHost host(kAll);
  host.swap_on();
  auto without = host.tree();
  CHECK_FALSE(without->capabilities().swap);
  auto refused = without->make("a", kLimits);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("swap") != std::string::npos);
  CHECK(refused.error().remedy.find("swapoff") != std::string::npos);
  host.limit_swap();
  auto with = host.tree();
  CHECK(with->capabilities().swap);
  REQUIRE(with->make("a", kLimits));
  CHECK(host.read("memory/flodea-t/a/" + std::string(kSwapLimit)) == "67108864");
}
