// Control groups, as one class over two layouts (docs/root.md): cgroup v2, and the hybrid of v1
// controllers beside a v2 core without any. flodead makes, limits, kills and removes groups;
// control only reads usage, by the paths of StartReply. Nothing here blocks for longer than a
// kernel write. Paths are flodead's own, never a client's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace flodea {

enum class CgroupLayout { kV2, kHybridV1 };
enum class CgroupController : std::size_t { kUnified, kMemory, kPids, kCpu, kCpuacct, kIo };
inline constexpr std::size_t kCgroupControllers = 6;
std::string_view controller_name(CgroupController controller);

// One directory of a group. On v2 every controller is found in the one of kUnified.
struct CgroupPath {
  CgroupController controller = CgroupController::kUnified;
  std::string path;
};

// What this host can enforce and count. What is false here is refused or said, never dropped in
// silence.
struct CgroupCapabilities {
  bool memory = false;
  bool swap = false;        // agents' memory stays out of swap: it is limited, or the host has none
  bool swap_limit = false;  // the kernel can limit a group's swap
  bool pids = false;
  bool cpu = false;
  bool io = false;
  bool memory_throttle = false;  // memory.high
  bool buffered_io = false;      // buffered writes are charged to who made them
  bool oom_group = false;        // the kernel kills the whole group
};

struct CgroupLimits {
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpu_millis = 0;  // 1000 is one core
  std::uint32_t pids = 0;
};

struct CgroupUsage {
  std::uint64_t memory_current = 0;
  std::uint64_t memory_peak = 0;
  std::uint64_t cpu_nanos = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t pids = 0;
};

// How long a group was kept from running, since it was made. What the layout or the kernel cannot
// tell is 0.
struct CgroupStrain {
  std::uint64_t throttled_nanos = 0;  // by its CPU limit, of all CPUs
  std::uint64_t starved_nanos = 0;    // none of its tasks got a CPU, though some wanted one (PSI)
  std::uint64_t frozen_nanos = 0;
  bool frozen = false;  // now
};

// Where the hierarchies are, from the text of /proc/self/mountinfo and /proc/self/cgroup. `own` is
// the group this process is in.
struct CgroupHierarchies {
  CgroupLayout layout = CgroupLayout::kV2;
  std::array<std::string, kCgroupControllers> mount;  // empty: not there
  std::array<std::string, kCgroupControllers> own;    // "/" or "/a/b"
  std::string unified_options;                        // super options of the v2 mount
  std::string swaps = "/proc/swaps";                  // the kernel's table of swap areas
  static Result<CgroupHierarchies> parse(std::string_view mountinfo, std::string_view self_cgroup);
};

// Reads what a group uses; opened once, since control reads it often. Any thread, one at a time.
class CgroupReader {
 public:
  static Result<CgroupReader> open(std::span<const CgroupPath> paths);
  Result<CgroupUsage> read() const;  // what the layout cannot tell is 0
  CgroupStrain strain() const;

 private:
  CgroupReader() = default;
  std::string text(CgroupController controller, const char* file) const;
  CgroupLayout layout_ = CgroupLayout::kV2;
  std::array<UniqueFd, kCgroupControllers> dirs_;
};

// A group in every hierarchy. The object does not own it: a group outlives flodead, and is removed
// by name (`CgroupTree::remove`).
class Cgroup {
 public:
  static Result<Cgroup> open(std::vector<CgroupPath> paths);  // the first is the one of kUnified
  const std::vector<CgroupPath>& paths() const { return paths_; }
  int unified_dir() const { return unified_.get(); }
  // Puts a process into the v1 groups; into the v2 one it was cloned (CLONE_INTO_CGROUP).
  Status add_to_v1(pid_t pid) const;
  Status kill() const;                          // SIGKILL to every process in it, frozen or not
  Status freeze(std::string_view state) const;  // "0" or "1"
  Result<bool> populated() const;
  // v1 kills one process on OOM and tells an eventfd; on v2 (memory.oom.group) the kernel kills the
  // group: an invalid descriptor.
  Result<UniqueFd> watch_oom_v1() const;
  // A descriptor that polls EPOLLPRI when `populated` changes. Owned by this object.
  int events_fd() const { return events_.get(); }

 private:
  Cgroup() = default;
  std::vector<CgroupPath> paths_;
  UniqueFd unified_;
  UniqueFd events_;
};

// The part of the host's hierarchies where one supervisor makes its groups: `<own>/flodea-<name>/`
// each.
class CgroupTree {
 public:
  // Makes the parent groups, enables the controllers (v2) and finds what can be enforced.
  static Result<CgroupTree> create(CgroupHierarchies hierarchies, std::string_view name);

  CgroupLayout layout() const { return hierarchies_.layout; }
  const CgroupCapabilities& capabilities() const { return capabilities_; }
  // kFailedPrecondition, and nothing made: a limit that is asked for cannot be enforced here.
  Result<Cgroup> make(const std::string& name, const CgroupLimits& limits) const;
  Result<Cgroup> open(const std::string& name) const;  // an existing one; kNotFound
  Status remove(const std::string& name) const;        // must be empty; gone already: success
  Result<std::vector<std::string>> names() const;      // groups that exist, in any hierarchy
  Status remove_all() const;  // the parents too; for the end of a supervisor without agents

 private:
  Status make_parents();
  Status probe_v2();
  Status probe_v1();
  Status check(const CgroupLimits& limits) const;
  Status limit(const Cgroup& group, const CgroupLimits& limits) const;
  std::vector<CgroupController> in_force() const;
  std::string parent_of(CgroupController controller) const;

  CgroupHierarchies hierarchies_;
  std::string name_;
  CgroupCapabilities capabilities_;
};

}  // namespace flodea
