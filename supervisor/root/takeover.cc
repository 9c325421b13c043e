#include "supervisor/root/takeover.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <climits>

#include "base/device_table.h"
#include "base/fd_layout.h"
#include "base/safe_path.h"
#include "base/sealed_memory.h"
#include "base/status_page.h"
#include "supervisor/root/boot.h"
#include "supervisor/root/request.h"
#include "supervisor/root/uid_ranges.h"

namespace flodea::root {
namespace {

constexpr std::size_t kMaxProcs = 1 << 20;
constexpr std::size_t kMaxStatus = 16 * 1024;
constexpr int kTableAttempts = 10;
constexpr Nanos kRowsDeadline = std::chrono::seconds(3);
constexpr int kRowsPauseMs = 5;
constexpr unsigned kFuseMajor = 10;  // linux/Documentation/admin-guide/devices.txt
constexpr unsigned kFuseMinor = 229;

tl::unexpected<Error> misfit(const std::string& what) {
  return fail(Code::kFailedPrecondition, what);
}

Result<std::vector<pid_t>> processes_of(const Cgroup& group) {
  auto text = TRY(read_file(group.unified_dir(), "cgroup.procs", kMaxProcs));
  std::vector<pid_t> pids;
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    pid_t pid = 0;
    auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc()) break;
    pids.push_back(pid);
    at = next + 1;  // its line's end
  }
  return pids;
}

Status require_member(pid_t pid, const Cgroup& group) {
  auto pids = TRY(processes_of(group));
  if (pid <= 0 || std::ranges::find(pids, pid) == pids.end())
    return misfit("its worker is not in its group");
  return {};
}

Result<UniqueFd> take(const PidFd& process, int number) {
  return adopt_fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)),
                  "pidfd_getfd");
}

// ---- types, without reading anything

Result<struct stat> status_of(int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return fail_errno("fstat");
  return info;
}

Status require_seqpacket(int fd) {
  int type = 0, domain = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || type != SOCK_SEQPACKET ||
      domain != AF_UNIX)
    return misfit("its attach socket is none");
  sockaddr_un name{};  // nor one that is bound to a path
  socklen_t length = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0)
    return fail_errno("getsockname");
  if (length != sizeof name.sun_family) return misfit("its attach socket has a name");
  return {};
}

Status require_pipe(int fd, int access) {
  auto info = TRY(status_of(fd));
  struct statfs fs;  // a FIFO of some file system would hold that
  if (::fstatfs(fd, &fs) != 0) return fail_errno("fstatfs");
  if (!S_ISFIFO(info.st_mode) || fs.f_type != PIPEFS_MAGIC ||
      (::fcntl(fd, F_GETFL) & O_ACCMODE) != access)
    return misfit("its log pipe is none");
  return {};
}

Status require_status_page(int fd) {
  if (check_sealed_memory(fd, "status page", StatusPage::kSize)) return {};
  return misfit("its status page is none");
}

Status require_directory(int fd) {
  auto info = TRY(status_of(fd));
  if (!S_ISDIR(info.st_mode) || (::fcntl(fd, F_GETFL) & O_PATH) == 0)
    return misfit("its store is no directory");
  return {};
}

// The directory that this agent was given, and no other that its worker may have put there.
Status require_store(int fd, const v1::KeptInstance& kept) {
  auto info = TRY(status_of(fd));
  if (info.st_dev != kept.store_device() || info.st_ino != kept.store_inode())
    return misfit("its store is another directory");
  return {};
}

bool is_fuse_device(int fd) {
  auto info = status_of(fd);
  return info && S_ISCHR(info->st_mode) && major(info->st_rdev) == kFuseMajor &&
         minor(info->st_rdev) == kFuseMinor;
}

// ---- the vault

bool is_vault(pid_t pid, uid_t user) {
  std::string base = "/proc/" + std::to_string(pid);
  char path[PATH_MAX];
  ssize_t n = ::readlink((base + "/exe").c_str(), path, sizeof path);
  if (n <= 0) return false;
  std::string_view executable(path, static_cast<std::size_t>(n));
  constexpr std::string_view kReplaced = " (deleted)";  // by an upgrade
  if (executable.ends_with(kReplaced)) executable.remove_suffix(kReplaced.size());
  if (!executable.ends_with("/flodea-vault")) return false;
  auto fd = adopt_fd(::open((base + "/status").c_str(), O_RDONLY | O_CLOEXEC), "open status");
  if (!fd) return false;
  auto text = read_all(fd->get(), kMaxStatus);
  std::string id = std::to_string(user);
  return text && text->find("\nUid:\t" + id + "\t" + id + "\t" + id + "\t" + id + "\n") !=
                     std::string::npos;
}

Result<PidFd> find_vault(const Cgroup& services, uid_t user) {
  for (pid_t pid : TRY(processes_of(services))) {
    auto process = PidFd::open(pid);
    if (!process || !is_vault(pid, user)) continue;
    if (require_member(pid, services)) return process;
  }
  return fail(Code::kNotFound, "no flodea-vault lives");
}

// A flodead that was killed right after it had started its vault: what it sent is still on its way
// there. Returns when each of the agents has a row, the vault has ended, or it has had its time.
Status wait_for_rows(const PidFd& vault, int table, const std::set<AgentId>& wanted) {
  SystemClock clock;
  Nanos end = clock.monotonic() + kRowsDeadline;
  for (;;) {
    auto rows = TRY(DeviceTable::read(table));
    bool all =
        std::ranges::all_of(wanted, [&](const AgentId& agent) { return rows.contains(agent); });
    if (all || clock.monotonic() >= end || TRY(vault.ended(kRowsPauseMs))) return {};
  }
}

// Between reading a row and taking its descriptor the vault may have closed one connection and
// taken up another: the same table afterwards says that it has not.
Result<std::map<AgentId, UniqueFd>> take_devices(const PidFd& vault, int table) {
  auto rows = TRY(DeviceTable::read(table));
  for (int attempt = 0; attempt < kTableAttempts; ++attempt) {
    std::map<AgentId, UniqueFd> devices;
    for (const auto& [agent, number] : rows) {
      auto device = take(vault, number);
      if (device && is_fuse_device(device->get())) devices.emplace(agent, std::move(*device));
    }
    auto again = TRY(DeviceTable::read(table));
    if (again == rows) return devices;
    rows = std::move(again);
  }
  return misfit("the table of the vault does not stand still");
}

Result<EarlierInstance> take_instance(const TakeoverParts& parts, const JournalEntry& entry,
                                      std::map<AgentId, UniqueFd>& devices) {
  TRY(check_entry(entry, parts.boot_id));
  auto device = devices.find(*AgentId::parse(entry.kept->request().agent_id()));
  if (device == devices.end()) return misfit("vault lost");
  auto group = TRY(parts.cgroups.open(entry.name));
  auto descriptors = TRY(take_from_worker(entry.kept->reply().worker_pid(), group));
  TRY(require_store(descriptors.store.get(), *entry.kept));
  descriptors.device = std::move(device->second);
  devices.erase(device);  // of one instance only
  return EarlierInstance{.kept = *entry.kept, .descriptors = std::move(descriptors)};
}

std::set<AgentId> agents_of(const TakeoverParts& parts, const std::vector<JournalEntry>& entries) {
  std::set<AgentId> agents;
  for (const JournalEntry& entry : entries) {
    if (check_entry(entry, parts.boot_id))
      agents.insert(*AgentId::parse(entry.kept->request().agent_id()));
  }
  return agents;
}

std::map<AgentId, UniqueFd> devices_of(const TakeoverParts& parts,
                                       const std::set<AgentId>& wanted) {
  if (!parts.can_resume) return {};
  auto services = parts.cgroups.open(kServicesGroup);
  if (!services) return {};
  auto devices = take_from_vault(*services, parts.vault_user, wanted);
  if (devices) return std::move(*devices);
  spdlog::warn("earlier-life service=flodea-vault error=\"{}\"", devices.error().describe());
  return {};
}

}  // namespace

Status check_entry(const JournalEntry& entry, const std::string& boot_id) {
  if (entry.boot_id != boot_id) return misfit("it is of another boot");
  if (!entry.kept) return misfit("it was being started");
  const v1::KeptInstance& kept = *entry.kept;
  if (kept.state() != v1::INSTANCE_STATE_RUNNING) return misfit("it had ended");
  v1::Request request;
  request.set_id(1);
  *request.mutable_start() = kept.request();
  TRY(decode_request(request.SerializeAsString()));
  if (entry.name != kept.request().agent_id() + "-" + std::to_string(kept.request().generation()))
    return misfit("its journal entry is another agent's");
  if (kept.uid_range() >= UidRanges::kCount ||
      kept.reply().uid_base() != UidRanges::kFirst + kept.uid_range() * UidRange::kSize)
    return misfit("its journal entry has no uid range");
  return {};
}

Result<InstanceDescriptors> take_from_worker(pid_t pid, const Cgroup& group) {
  namespace fds = fd_layout::worker;
  TRY(require_member(pid, group));
  InstanceDescriptors out;
  out.worker = TRY(PidFd::open(pid));
  TRY(require_member(pid, group));
  out.attach = {TRY(take(out.worker, fds::kAttachPeer)), TRY(take(out.worker, fds::kAttach))};
  out.log = {TRY(take(out.worker, fds::kLogRead)), TRY(take(out.worker, fds::kLogWrite))};
  out.status_page = TRY(take(out.worker, fds::kStatusPage));
  out.store = TRY(take(out.worker, fds::kStore));
  TRY(require_seqpacket(out.attach.first.get()));
  TRY(require_seqpacket(out.attach.second.get()));
  TRY(require_pipe(out.log.first.get(), O_RDONLY));
  TRY(require_pipe(out.log.second.get(), O_WRONLY));
  TRY(require_status_page(out.status_page.get()));
  TRY(require_directory(out.store.get()));
  return out;
}

Result<std::map<AgentId, UniqueFd>> take_from_vault(const Cgroup& services, uid_t vault_user,
                                                    const std::set<AgentId>& wanted) {
  auto vault = find_vault(services, vault_user);
  if (!vault) return std::map<AgentId, UniqueFd>{};
  auto table = TRY(take(*vault, fd_layout::vault::kTable));
  TRY(wait_for_rows(*vault, table.get(), wanted));
  return take_devices(*vault, table.get());
}

Result<EarlierLife> take_over(const TakeoverParts& parts) {
  EarlierLife life;
  life.epoch = TRY(parts.journal.epoch());
  auto entries = TRY(parts.journal.entries());
  auto devices = devices_of(parts, agents_of(parts, entries));
  for (const JournalEntry& entry : entries) {
    auto taken = take_instance(parts, entry, devices);
    if (taken)
      life.instances.push_back(std::move(*taken));
    else
      spdlog::warn("earlier-life group={} state=not-taken-over why=\"{}\"", entry.name,
                   taken.error().message);
  }
  if (!life.instances.empty()) life.reloads = 1;
  return life;
}

}  // namespace flodea::root
