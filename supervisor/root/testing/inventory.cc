#include "supervisor/root/testing/inventory.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "supervisor/root/testing/slurp.h"

namespace flodea::root::testing {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(dir, none))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string proc(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// The v2 group above that of flodead's services, in which all its groups are: "/…/flodea-<name>".
std::string own_groups(const FlodeadHost& host) {
  std::string own = slurp(proc(host.child_named("flodea-vault").pid(), "cgroup"));
  std::string unified = own.substr(own.find("0::") + 3);
  return fs::path(unified.substr(0, unified.find('\n'))).parent_path();
}

std::vector<std::string> agents_groups(const std::string& own) {
  std::string base =
      fs::exists("/sys/fs/cgroup/unified") ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
  std::vector<std::string> groups = names_in(base + own);
  std::erase_if(groups, [](const std::string& name) { return name.size() <= 32; });
  return groups;
}

// Does the process hold the block device, or something on a file system that is mounted from it?
bool holds(const std::string& process, dev_t device) {
  std::string number =
      " " + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + " ";
  if (slurp(process + "/mountinfo").find(number) != std::string::npos) return true;
  return std::ranges::any_of(names_in(process + "/fd"), [&](const std::string& fd) {
    struct stat st{};
    if (::stat((process + "/fd/" + fd).c_str(), &st) != 0) return false;
    return st.st_dev == device || (S_ISBLK(st.st_mode) && st.st_rdev == device);
  });
}

// A loop device has no owner that could be read; whoever uses one can be found. One that nobody
// uses any more, or flodead's own processes, is counted as flodead's.
bool used_by_others(const std::string& loop, const FlodeadHost& host, const std::string& own) {
  struct stat st{};
  if (::stat(("/dev/" + loop).c_str(), &st) != 0) return false;
  for (const std::string& pid : names_in("/proc")) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string process = "/proc/" + pid;
    if (pid == std::to_string(host.pid()) || pid == std::to_string(::getpid())) continue;
    if (slurp(process + "/cgroup").find("::" + own + "/") != std::string::npos) continue;
    if (holds(process, st.st_rdev)) return true;
  }
  return false;
}

std::vector<std::string> own_loops(const FlodeadHost& host, const std::string& own) {
  std::vector<std::string> loops;
  for (const std::string& name : names_in("/sys/block")) {
    // The backing file of a volume is "/image" of a FUSE file system that is mounted nowhere.
    if (name.starts_with("loop") &&
        slurp("/sys/block/" + name + "/loop/backing_file").starts_with("/image") &&
        !used_by_others(name, host, own))
      loops.push_back(name);
  }
  return loops;
}

// The kernel frees a device a moment after its last user let go of it: what lasts is left over.
std::vector<std::string> lasting_loops(const FlodeadHost& host, const std::string& own) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  auto loops = own_loops(host, own);
  while (!loops.empty() && std::chrono::steady_clock::now() < deadline)
    loops = own_loops(host, own);
  return loops;
}

std::map<std::string, int> descriptors_of(pid_t pid) {
  std::map<std::string, int> kinds;
  for (const std::string& fd : names_in(proc(pid, "fd"))) {
    std::error_code none;
    std::string target = fs::read_symlink(proc(pid, "fd/") + fd, none);
    ++kinds[target.substr(0, target.find(':'))];
  }
  return kinds;
}

}  // namespace

Inventory take_inventory(FlodeadHost& host) {
  host.settle();
  Inventory lines;
  std::string own = own_groups(host);
  std::istringstream mounts(slurp("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) lines.push_back("mount " + line);
  for (const std::string& loop : lasting_loops(host, own))
    lines.push_back("volume's device " + loop);
  for (const std::string& group : agents_groups(own)) lines.push_back("group " + group);
  for (const auto& [kind, count] : descriptors_of(host.pid()))
    lines.push_back("descriptor " + kind + " " + std::to_string(count));
  for (const std::string& name : names_in(host.dir() + "/run/journal"))
    lines.push_back("journal " + name);
  std::istringstream children(
      slurp(proc(host.pid(), "task/") + std::to_string(host.pid()) + "/children"));
  for (pid_t child; children >> child;) {
    std::string name = slurp(proc(child, "comm"));
    lines.push_back("child " + name.substr(0, name.find('\n')));
  }
  return lines;
}

std::string difference(const Inventory& before, const Inventory& after) {
  std::multiset<std::string> old(before.begin(), before.end());
  std::multiset<std::string> now(after.begin(), after.end());
  std::string text;
  for (const std::string& line : now) {
    auto known = old.find(line);
    if (known == old.end())
      text += "+ " + line + "\n";
    else
      old.erase(known);
  }
  for (const std::string& line : old) text += "- " + line + "\n";
  return text;
}

}  // namespace flodea::root::testing
