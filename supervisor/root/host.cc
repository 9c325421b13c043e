#include "supervisor/root/host.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/pid_fd.h"
#include "base/safe_path.h"
#include "supervisor/helper/volume/fuse_mount.h"

namespace flodea::root {
namespace {

Result<std::string> read_proc(const char* path) {
  auto fd = TRY(adopt_fd(::open(path, O_RDONLY | O_CLOEXEC), std::string("open ") + path));
  return read_all(fd.get(), 4 << 20);
}

std::uint32_t landlock_abi() {
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? static_cast<std::uint32_t>(abi) : 0;
}

// Of processes and threads; a tenth is left to the host.
Result<std::uint64_t> most_pids() {
  std::uint64_t most = ~std::uint64_t{0};
  for (const char* path : {"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"}) {
    std::string text = TRY(read_proc(path));
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return fail(Code::kInternal, std::string(path) + " is no number");
    most = std::min(most, value);
  }
  return most / 10 * 9;
}

struct FactRow {
  bool CgroupCapabilities::* capability;
  const char* limit;    // its word in Host.limits, or null
  const char* missing;  // what is said where it is not there
};
constexpr FactRow kFactRows[] = {
    {&CgroupCapabilities::memory, "memory", "memory limits (no memory controller)"},
    {&CgroupCapabilities::swap, "swap", "keeping agents' memory out of swap"},
    {&CgroupCapabilities::pids, "pids", "process limits (no pids controller)"},
    {&CgroupCapabilities::cpu, "cpu", "CPU limits (no cpu controller)"},
    {&CgroupCapabilities::io, "io", "disk I/O limits (no io controller)"},
    {&CgroupCapabilities::memory_throttle, nullptr,
     "memory.high (throttling before the memory limit kills)"},
    {&CgroupCapabilities::buffered_io, nullptr, "io bandwidth of buffered writes"},
};

void describe_cgroups(const CgroupTree& cgroups, v1::Host& host) {
  host.set_cgroup(cgroups.layout() == CgroupLayout::kV2 ? "v2" : "hybrid-v1");
  for (const FactRow& row : kFactRows) {
    if (!(cgroups.capabilities().*row.capability))
      host.add_missing(row.missing);
    else if (row.limit != nullptr)
      host.add_limits(row.limit);
  }
}

Status write_single_map(pid_t pid, const char* file, unsigned id) {
  std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  auto fd = TRY(adopt_fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC), "open " + path));
  return write_all(fd.get(), "0 " + std::to_string(id) + " 1\n");
}

Result<UniqueFd> map_and_open(pid_t pid, uid_t uid, gid_t gid) {
  TRY(write_single_map(pid, "uid_map", uid));
  TRY(write_single_map(pid, "gid_map", gid));
  std::string path = "/proc/" + std::to_string(pid) + "/ns/user";
  return adopt_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path);
}

}  // namespace

Result<v1::Host> probe_host(const CgroupTree& cgroups, std::uint32_t uid_ranges) {
  v1::Host host;
  utsname name;
  if (::uname(&name) != 0) return fail_errno("uname");
  struct sysinfo memory;
  if (::sysinfo(&memory) != 0) return fail_errno("sysinfo");
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return fail_errno("sched_getaffinity");
  host.set_kernel(name.release);
  host.set_landlock_abi(landlock_abi());
  host.set_volume_backend("vault");
  host.set_vault_takeover(TRY(volume::can_continue_vault()));
  host.set_memory_bytes(std::uint64_t{memory.totalram} * memory.mem_unit);
  host.set_cpus(static_cast<std::uint32_t>(CPU_COUNT(&cpus)));
  host.set_uid_ranges(uid_ranges);
  host.set_max_pids(TRY(most_pids()));
  describe_cgroups(cgroups, host);
  if (host.landlock_abi() == 0) host.add_missing("Landlock (not in this kernel)");
  if (!host.vault_takeover())
    host.add_missing("continuing agents after flodea-vault died (needs Linux 6.9)");
  return host;
}

Result<std::string> read_boot_id() {
  auto text = TRY(read_proc("/proc/sys/kernel/random/boot_id"));
  return text.substr(0, text.find('\n'));
}

Result<CgroupHierarchies> find_hierarchies() {
  auto mounts = TRY(read_proc("/proc/self/mountinfo"));
  return CgroupHierarchies::parse(mounts, TRY(read_proc("/proc/self/cgroup")));
}

std::string group_name(const std::string& run_path) {
  std::uint64_t hash =
      0xcbf29ce484222325;  // FNV-1a: it only has to tell a host's few supervisors apart
  for (unsigned char c : run_path) hash = (hash ^ c) * 0x100000001b3;
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

Result<UniqueFd> make_user_namespace(uid_t uid, gid_t gid) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::syscall(SYS_close_range, 0, ~0U, 0);
    for (;;) ::pause();
  }
  if (pid < 0) return fail_errno("clone3");
  PidFd child(UniqueFd(pidfd), static_cast<pid_t>(pid));
  auto made = map_and_open(child.pid(), uid, gid);
  TRY(child.send_signal(SIGKILL));
  TRY(child.wait());
  return made;
}

}  // namespace flodea::root
