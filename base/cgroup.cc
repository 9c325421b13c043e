#include "base/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <set>

#include "base/safe_path.h"

namespace flodea {
namespace {

using Controller = CgroupController;
constexpr std::size_t kFileLimit = 16 * 1024;
constexpr std::uint32_t kCpuPeriodMicros = 100'000;

constexpr std::array<std::string_view, kCgroupControllers> kNames{"unified", "memory",  "pids",
                                                                  "cpu",     "cpuacct", "io"};
// The names of v1 hierarchies in mountinfo and /proc/self/cgroup.
constexpr std::array<std::string_view, kCgroupControllers> kV1Names{"",    "memory",  "pids",
                                                                    "cpu", "cpuacct", "blkio"};

std::size_t index(Controller controller) { return static_cast<std::size_t>(controller); }

// Where a figure is read: a file of a controller's directory and, if the file has several, the key
// of its line.
struct Source {
  Controller controller;
  const char* file;
  std::string_view key;
  std::uint64_t scale;
};
struct UsageRow {
  std::uint64_t CgroupUsage::* figure;
  Source v2;
  Source v1;
};
constexpr UsageRow kUsage[] = {
    {&CgroupUsage::memory_current,
     {Controller::kUnified, "memory.current", "", 1},
     {Controller::kMemory, "memory.usage_in_bytes", "", 1}},
    {&CgroupUsage::memory_peak,
     {Controller::kUnified, "memory.peak", "", 1},
     {Controller::kMemory, "memory.max_usage_in_bytes", "", 1}},
    {&CgroupUsage::cpu_nanos,
     {Controller::kUnified, "cpu.stat", "usage_usec", 1000},
     {Controller::kCpuacct, "cpuacct.usage", "", 1}},
    {&CgroupUsage::oom_kills,
     {Controller::kUnified, "memory.events", "oom_kill", 1},
     {Controller::kMemory, "memory.oom_control", "oom_kill", 1}},
    {&CgroupUsage::pids,
     {Controller::kUnified, "pids.current", "", 1},
     {Controller::kPids, "pids.current", "", 1}},
};

Result<UniqueFd> open_dir(const std::string& path) {
  return adopt_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + path);
}

Status write_file(int dir, const char* file, std::string_view text) {
  auto fd = TRY(adopt_fd(::openat(dir, file, O_WRONLY | O_CLOEXEC), std::string("open ") + file));
  TRY_CONTEXT(write_all(fd.get(), text), std::string(file) + " = " + std::string(text));
  return {};
}

Result<std::string> read_text(int dir, const char* file) {
  auto fd = TRY(adopt_fd(::openat(dir, file, O_RDONLY | O_CLOEXEC), std::string("open ") + file));
  return read_all(fd.get(), kFileLimit);
}

bool has_file(int dir, const char* file) { return ::faccessat(dir, file, F_OK, 0) == 0; }

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool contains(std::string_view list, char separator, std::string_view item) {
  auto parts = split(list, separator);
  return std::ranges::find(parts, item) != parts.end();
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t figure_of(std::string_view text, std::string_view key) {
  if (key.empty()) return to_number(text);
  for (std::string_view line : split(text, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return to_number(line.substr(key.size() + 1));
  }
  return 0;
}

// "36 35 98:0 /root /mount opts - type source superopts": the mount point and, past the dash, type
// and super options.
void take_mount(std::string_view line, CgroupHierarchies& out, bool& v1) {
  auto fields = split(line, ' ');
  auto dash = std::ranges::find(fields, "-");
  if (fields.size() < 6 || fields.end() - dash < 4) return;
  std::string mount(fields[4]);
  if (dash[1] == "cgroup2") {
    out.mount[0] = mount;
    out.unified_options = dash[3];
    return;
  }
  if (dash[1] != "cgroup") return;
  for (std::size_t i = 1; i < kCgroupControllers; ++i) {
    if (!contains(dash[3], ',', kV1Names[i])) continue;
    out.mount[i] = mount;
    v1 = true;
  }
}

// "5:cpu,cpuacct:/a" or "0::/a"
void take_own(std::string_view line, CgroupHierarchies& out) {
  auto fields = split(line, ':');
  if (fields.size() < 3) return;
  std::string path(line.substr(fields[0].size() + fields[1].size() + 2));
  if (fields[1].empty()) out.own[0] = path;
  for (std::size_t i = 1; i < kCgroupControllers; ++i) {
    if (contains(fields[1], ',', kV1Names[i])) out.own[i] = path;
  }
}

// A header, then one line per swap area. A kernel without swap has no such file.
Result<bool> has_swap(const std::string& swaps) {
  int raw = ::open(swaps.c_str(), O_RDONLY | O_CLOEXEC);
  if (raw < 0 && errno == ENOENT) return false;
  auto fd = TRY(adopt_fd(raw, "open " + swaps));
  std::string text = TRY(read_all(fd.get(), kFileLimit));
  std::size_t header = text.find('\n');
  return header != std::string::npos && header + 1 < text.size();
}

tl::unexpected<Error> cannot_enforce(const std::string& what, std::string remedy) {
  Error error = fail(Code::kFailedPrecondition, what).value();
  return tl::unexpected<Error>(std::move(error).with_remedy(std::move(remedy)));
}

std::string join(const std::string& mount, const std::string& own) {
  return own == "/" ? mount : mount + own;
}

Status add_names(const std::string& parent, std::set<std::string>& names) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(parent.c_str()), ::closedir);
  if (!dir) return errno == ENOENT ? Status{} : Status(fail_errno("open " + parent));
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.insert(entry->d_name);
  }
  return {};
}

}  // namespace

std::string_view controller_name(CgroupController controller) { return kNames[index(controller)]; }

Result<CgroupHierarchies> CgroupHierarchies::parse(std::string_view mountinfo,
                                                   std::string_view self_cgroup) {
  CgroupHierarchies out;
  bool v1 = false;
  for (std::string_view line : split(mountinfo, '\n')) take_mount(line, out, v1);
  for (std::string_view line : split(self_cgroup, '\n')) take_own(line, out);
  if (out.mount[0].empty()) {
    auto error = fail(Code::kFailedPrecondition, "no cgroup2 file system is mounted").value();
    return tl::unexpected(
        std::move(error).with_remedy("mount -t cgroup2 none /sys/fs/cgroup, or boot with the "
                                     "systemd.unified_cgroup_hierarchy option"));
  }
  out.layout = v1 ? CgroupLayout::kHybridV1 : CgroupLayout::kV2;
  return out;
}

// ---- reading

Result<CgroupReader> CgroupReader::open(std::span<const CgroupPath> paths) {
  CgroupReader reader;
  for (const CgroupPath& path : paths) {
    reader.dirs_[index(path.controller)] = TRY(open_dir(path.path));
    if (path.controller != Controller::kUnified) reader.layout_ = CgroupLayout::kHybridV1;
  }
  return reader;
}

Result<CgroupUsage> CgroupReader::read() const {
  CgroupUsage usage;
  for (const UsageRow& row : kUsage) {
    const Source& source = layout_ == CgroupLayout::kV2 ? row.v2 : row.v1;
    const UniqueFd& dir = dirs_[index(source.controller)];
    if (!dir) continue;
    auto text = read_text(dir.get(), source.file);
    if (!text && text.error().sys_errno == ENOENT) continue;  // memory.peak came with Linux 5.19
    if (!text) return tl::unexpected(std::move(text).error());
    usage.*row.figure = figure_of(*text, source.key) * source.scale;
  }
  return usage;
}

std::string CgroupReader::text(Controller controller, const char* file) const {
  const UniqueFd& dir = dirs_[index(controller)];
  auto text = dir ? read_text(dir.get(), file) : Result<std::string>("");
  return text.value_or("");
}

CgroupStrain CgroupReader::strain() const {
  CgroupStrain strain;
  bool v2 = layout_ == CgroupLayout::kV2;
  std::string cpu = text(v2 ? Controller::kUnified : Controller::kCpu, "cpu.stat");
  strain.throttled_nanos =
      v2 ? figure_of(cpu, "throttled_usec") * 1000 : figure_of(cpu, "throttled_time");
  // "full avg10=0.00 avg60=0.00 avg300=0.00 total=123"
  std::string pressure = text(Controller::kUnified, "cpu.pressure");
  std::size_t full = pressure.find("full ");
  std::size_t total = full == std::string::npos ? full : pressure.find("total=", full);
  if (total != std::string::npos)
    strain.starved_nanos = to_number(std::string_view(pressure).substr(total + 6)) * 1000;
  strain.frozen_nanos =
      figure_of(text(Controller::kUnified, "cgroup.stat.local"), "frozen_usec") * 1000;
  strain.frozen = figure_of(text(Controller::kUnified, "cgroup.events"), "frozen") != 0;
  return strain;
}

// ---- one group

Result<Cgroup> Cgroup::open(std::vector<CgroupPath> paths) {
  Cgroup group;
  group.unified_ = TRY(open_dir(paths.front().path));
  group.events_ = TRY(adopt_fd(
      ::openat(group.unified_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC), "open cgroup.events"));
  group.paths_ = std::move(paths);
  return group;
}

Status Cgroup::add_to_v1(pid_t pid) const {
  for (const CgroupPath& path : paths_) {
    if (path.controller == Controller::kUnified) continue;
    auto dir = TRY(open_dir(path.path));
    TRY_CONTEXT(write_file(dir.get(), "cgroup.procs", std::to_string(pid)),
                "cgroup " + std::string(controller_name(path.controller)));
  }
  return {};
}

Status Cgroup::kill() const { return write_file(unified_.get(), "cgroup.kill", "1"); }
Status Cgroup::freeze(std::string_view state) const {
  return write_file(unified_.get(), "cgroup.freeze", state);
}

// Read through `events_` itself: that is what makes its poll wait for the next change.
Result<bool> Cgroup::populated() const {
  char text[256];
  ssize_t n = ::pread(events_.get(), text, sizeof text, 0);
  if (n < 0) return fail_errno("read cgroup.events");
  return figure_of({text, static_cast<std::size_t>(n)}, "populated") != 0;
}

Result<UniqueFd> Cgroup::watch_oom_v1() const {
  auto memory = std::ranges::find(paths_, Controller::kMemory, &CgroupPath::controller);
  if (memory == paths_.end()) return UniqueFd();
  auto dir = TRY(open_dir(memory->path));
  auto event = TRY(adopt_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  auto control = TRY(adopt_fd(::openat(dir.get(), "memory.oom_control", O_RDONLY | O_CLOEXEC),
                              "open memory.oom_control"));
  TRY(write_file(dir.get(), "cgroup.event_control",
                 std::to_string(event.get()) + " " + std::to_string(control.get())));
  return event;
}

// ---- the tree

std::string CgroupTree::parent_of(Controller controller) const {
  std::size_t i = index(controller);
  return join(hierarchies_.mount[i], hierarchies_.own[i]) + "/flodea-" + name_;
}

std::vector<Controller> CgroupTree::in_force() const {
  if (layout() == CgroupLayout::kV2) return {Controller::kUnified};
  std::vector<Controller> list;
  for (std::size_t i = 0; i < kCgroupControllers; ++i) {
    // cpu and cpuacct may be one hierarchy; its directory is then made once and named twice.
    if (!hierarchies_.mount[i].empty()) list.push_back(static_cast<Controller>(i));
  }
  return list;
}

Result<CgroupTree> CgroupTree::create(CgroupHierarchies hierarchies, std::string_view name) {
  CgroupTree tree;
  tree.hierarchies_ = std::move(hierarchies);
  tree.name_ = name;
  // A v2 group that has processes cannot hand controllers down, and ours has: only at the root does
  // that rule not hold.
  if (tree.layout() == CgroupLayout::kV2) tree.hierarchies_.own[0] = "/";
  TRY(tree.make_parents());
  TRY(tree.layout() == CgroupLayout::kV2 ? tree.probe_v2() : tree.probe_v1());
  return tree;
}

Status CgroupTree::make_parents() {
  for (Controller controller : in_force()) {
    std::string path = parent_of(controller);
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("mkdir " + path);
  }
  return {};
}

Status CgroupTree::probe_v2() {
  std::string parent = parent_of(Controller::kUnified);
  auto root = TRY(open_dir(hierarchies_.mount[0]));
  auto dir = TRY(open_dir(parent));
  for (const char* controller : {"+memory", "+pids", "+cpu", "+io"}) {
    // What is not offered stays off, and is found missing below.
    [[maybe_unused]] auto at_root = write_file(root.get(), "cgroup.subtree_control", controller);
    [[maybe_unused]] auto below = write_file(dir.get(), "cgroup.subtree_control", controller);
  }
  std::string enabled = TRY(read_text(dir.get(), "cgroup.subtree_control"));
  if (enabled.ends_with('\n')) enabled.pop_back();
  auto on = [&](std::string_view name) { return contains(enabled, ' ', name); };
  bool memory = on("memory");
  bool swap_limit = memory && has_file(dir.get(), "memory.swap.max");
  capabilities_ = {.memory = memory,
                   .swap = swap_limit || !TRY(has_swap(hierarchies_.swaps)),
                   .swap_limit = swap_limit,
                   .pids = on("pids"),
                   .cpu = on("cpu"),
                   .io = on("io"),
                   .memory_throttle = memory,
                   .buffered_io = on("io") && memory,
                   .oom_group = memory};
  return {};
}

// To move a process between groups waits for a grace period of RCU (17 ms measured), unless the
// host favours such moves. A v2 host needs no move (CLONE_INTO_CGROUP); for v1 controllers the
// option of the v2 core beside them is what counts. Its others are kept.
static Status favour_moves(const std::string& unified, std::string_view options) {
  auto fs = TRY(adopt_fd(::fspick(AT_FDCWD, unified.c_str(), FSPICK_CLOEXEC), "fspick"));
  for (std::string_view option : split(options, ',')) {
    if (option == "rw" || option == "ro" || option.empty()) continue;
    if (::fsconfig(fs.get(), FSCONFIG_SET_FLAG, std::string(option).c_str(), nullptr, 0) != 0)
      return fail_errno("fsconfig");
  }
  if (::fsconfig(fs.get(), FSCONFIG_SET_FLAG, "favordynmods", nullptr, 0) != 0)
    return fail_errno("fsconfig favordynmods");
  if (::fsconfig(fs.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0)
    return fail_errno("reconfigure cgroup2");
  return {};
}

Status CgroupTree::probe_v1() {
  [[maybe_unused]] auto favoured =
      favour_moves(hierarchies_.mount[0], hierarchies_.unified_options);  // without it, slower
  auto there = [&](Controller controller) {
    return !hierarchies_.mount[index(controller)].empty();
  };
  bool swap_limit = false;
  if (there(Controller::kMemory)) {
    auto dir = TRY(open_dir(parent_of(Controller::kMemory)));
    swap_limit = has_file(dir.get(), "memory.memsw.limit_in_bytes");
  }
  capabilities_ = {.memory = there(Controller::kMemory),
                   .swap = swap_limit || !TRY(has_swap(hierarchies_.swaps)),
                   .swap_limit = swap_limit,
                   .pids = there(Controller::kPids),
                   .cpu = there(Controller::kCpu),
                   .io = there(Controller::kIo)};
  return {};
}

Result<Cgroup> CgroupTree::make(const std::string& name, const CgroupLimits& limits) const {
  TRY(check(limits));
  for (Controller controller : in_force()) {
    std::string path = parent_of(controller) + "/" + name;
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("mkdir " + path);
  }
  auto group = TRY(open(name));
  TRY(limit(group, limits));
  return group;
}

Result<Cgroup> CgroupTree::open(const std::string& name) const {
  std::vector<CgroupPath> paths;
  for (Controller controller : in_force())
    paths.push_back({controller, parent_of(controller) + "/" + name});
  return Cgroup::open(std::move(paths));
}

// What cannot be enforced is refused. Swap is looked for each time: `swapon` may have come since.
Status CgroupTree::check(const CgroupLimits& limits) const {
  struct Row {
    bool wanted;
    bool there;
    const char* what;
    Controller controller;
  };
  const Row rows[] = {
      {limits.memory_bytes != 0, capabilities_.memory, "memory", Controller::kMemory},
      {limits.pids != 0, capabilities_.pids, "process", Controller::kPids},
      {limits.cpu_millis != 0, capabilities_.cpu, "CPU", Controller::kCpu},
  };
  for (const Row& row : rows) {
    if (!row.wanted || row.there) continue;
    std::string controller(controller_name(row.controller));
    return cannot_enforce(
        "this host cannot enforce a " + std::string(row.what) + " limit: no " + controller +
            " controller",
        "mount the " + controller + " controller or boot with it enabled, then restart flodead");
  }
  if (limits.memory_bytes == 0 || capabilities_.swap_limit) return {};
  if (!TRY(has_swap(hierarchies_.swaps))) return {};
  return cannot_enforce(
      "this host has swap, and its memory controller cannot keep an agent out of it",
      "swapoff -a, or boot with swapaccount=1, then restart flodead");
}

// The limits of one group, in the order they must be written: v1 wants memory+swap ≥ memory at all
// times.
Status CgroupTree::limit(const Cgroup& group, const CgroupLimits& limits) const {
  struct Row {
    bool wanted;
    Controller v1_controller;
    const char* v2_file;
    const char* v1_file;
    std::string v2_text;
    std::string v1_text;
  };
  std::string memory = std::to_string(limits.memory_bytes);
  std::string quota = std::to_string(std::uint64_t{limits.cpu_millis} * kCpuPeriodMicros / 1000);
  std::string pids = std::to_string(limits.pids);
  const bool has_memory = limits.memory_bytes != 0;
  const Row rows[] = {
      {has_memory, Controller::kMemory, "memory.max", "memory.limit_in_bytes", memory, memory},
      {has_memory && capabilities_.swap_limit, Controller::kMemory, "memory.swap.max",
       "memory.memsw.limit_in_bytes", "0", memory},
      {has_memory && capabilities_.oom_group, Controller::kMemory, "memory.oom.group", nullptr, "1",
       ""},
      {limits.pids != 0, Controller::kPids, "pids.max", "pids.max", pids, pids},
      {limits.cpu_millis != 0, Controller::kCpu, "cpu.max", "cpu.cfs_quota_us",
       quota + " " + std::to_string(kCpuPeriodMicros), quota},
  };
  bool v2 = layout() == CgroupLayout::kV2;
  for (const Row& row : rows) {
    const char* file = v2 ? row.v2_file : row.v1_file;
    if (!row.wanted || file == nullptr) continue;
    auto path = std::ranges::find(group.paths(), v2 ? Controller::kUnified : row.v1_controller,
                                  &CgroupPath::controller);
    auto dir = TRY(open_dir(path->path));
    TRY_CONTEXT(write_file(dir.get(), file, v2 ? row.v2_text : row.v1_text),
                "cgroup " + std::string(controller_name(row.v1_controller)));
  }
  return {};
}

Status CgroupTree::remove(const std::string& name) const {
  Status outcome;
  for (Controller controller : in_force()) {
    std::string path = parent_of(controller) + "/" + name;
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) outcome = fail_errno("rmdir " + path);
  }
  return outcome;
}

Result<std::vector<std::string>> CgroupTree::names() const {
  std::set<std::string> names;
  for (Controller controller : in_force()) TRY(add_names(parent_of(controller), names));
  return std::vector<std::string>(names.begin(), names.end());
}

Status CgroupTree::remove_all() const {
  for (const std::string& name : TRY(names())) TRY(remove(name));
  for (Controller controller : in_force()) {
    std::string path = parent_of(controller);
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return fail_errno("rmdir " + path);
  }
  return {};
}

}  // namespace flodea
