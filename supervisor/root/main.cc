// flodead: the only lasting privileged program of Flodea. One thread, one loop; no network, no input of agents, nothing that blocks.
// See docs/root.md. Exit status: 0 stopped by a signal; 2 wrong arguments; 78 settings or directories are not as they must be;
// 1 anything else.
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <climits>

#include "base/safe_path.h"
#include "supervisor/root/boot.h"
#include "supervisor/root/config.h"
#include "supervisor/root/directories.h"
#include "supervisor/root/host.h"
#include "supervisor/root/stage.h"
#include "supervisor/root/supervisor.h"

namespace flodea::root {
namespace {

void start_logging(const std::string& level) {
  ::tzset();
  auto logger = spdlog::stderr_logger_st("flodead");
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ level=%l program=flodead %v", spdlog::pattern_time_type::utc));
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
}

Status require_root() {
  if (::geteuid() == 0) return {};
  auto error = fail(Code::kPermissionDenied, "flodead must be started as root").value();
  return tl::unexpected(std::move(error).with_remedy("sudo flodead …"));
}

// SIGTERM and SIGINT become events; SIGPIPE an errno.
Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  ::signal(SIGPIPE, SIG_IGN);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  return adopt_fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

struct Programs {
  std::string path;
  UniqueFd dir;
  UniqueFd helper, worker, vault, control;
};

Result<UniqueFd> open_program(int dir, const char* name) {
  auto fd = adopt_fd(::openat(dir, name, O_RDONLY | O_CLOEXEC), std::string("open ") + name);
  if (!fd) return tl::unexpected(std::move(fd).error().with_remedy("flodead's programs stand in one directory: build or install them all"));
  return fd;
}

// The siblings of this program, held open: a directory that only root may enter is no obstacle to services, nor is an upgrade.
Result<Programs> open_programs(const Config& config) {
  char self[PATH_MAX];
  ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || n == sizeof self) return fail_errno("readlink /proc/self/exe");
  Programs programs;
  programs.path.assign(self, static_cast<std::size_t>(n));
  programs.path.resize(programs.path.rfind('/'));
  programs.dir = TRY(adopt_fd(::open(programs.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + programs.path));
  int dir = programs.dir.get();
  programs.helper = TRY(open_program(dir, "flodea-helper"));
  programs.worker = TRY(open_program(dir, "flodea-worker"));
  programs.vault = TRY(open_program(dir, "flodea-vault"));
  programs.control = TRY(open_program(dir, config.control.empty() ? "flodea-control" : config.control.c_str()));
  return programs;
}

Result<SandboxTemplate> make_template(const Directories& dirs, Programs& programs) {
  TRY_CONTEXT(make_skeleton(dirs.run.get()), "rootfs");
  TRY_CONTEXT(enter_stage(dirs.run.get()), "stage");
  SandboxTemplate shared{.skeleton = dirs.run_path + "/rootfs", .trees = host_trees(programs.path + "/sdk/python")};
  shared.worker = std::move(programs.worker);
  shared.own_netns = TRY(adopt_fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "open /proc/self/ns/net"));
  return shared;
}

Result<UidRanges> open_uid_ranges(const std::string& boot_id) {
  std::vector<SubordinateIds> taken;
  for (const char* path : {"/etc/subuid", "/etc/subgid"}) {
    UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file) continue;  // no such file: nobody has any
    auto list = parse_subids(TRY(read_all(file.get(), 1 << 20)));
    taken.insert(taken.end(), list.begin(), list.end());
  }
  return UidRanges::open("/run/lock/flodea", boot_id, taken);
}

Totals totals_of(const Config& config, const v1::Host& host) {
  return {.agents = std::min(config.max_agents, host.uid_ranges()),
          .memory_bytes = config.max_memory != 0 ? config.max_memory : host.memory_bytes() / 10 * 9,
          .disk_bytes = config.max_disk};
}

Service make_service(EventLoop& loop, ServiceRow row, UniqueFd program, const Cgroup& group, Service::Callbacks callbacks) {
  return Service(loop, std::move(row), std::move(program), group.unified_dir(), std::move(callbacks));
}

Detached begin(Helpers& helpers, int programs_dir, std::map<std::string, UniqueFd>& filters, v1::Host host,
               std::function<Status(const v1::Host&)> ready, std::function<void(Error)> failed) {
  auto discovering = discover(helpers, programs_dir, filters, host);
  auto found = co_await discovering;
  Status begun = found ? ready(host) : found;
  if (!begun) failed(std::move(begun).error());
}

// A list of what flodead stands on, each step possible only after the one before it.
Result<int> run(const Config& config) {
  TRY(require_root());
  ::umask(022);
  auto signals = TRY(take_signals());
  auto users = TRY(find_users());
  TRY(leave_host_mount_namespace());  // before any directory is opened: a descriptor belongs to the namespace it was opened in
  auto programs = TRY(open_programs(config));
  auto dirs = TRY(open_directories(config, users));
  auto lock = TRY(lock_run_dir(dirs.run.get()));
  auto shared = TRY(make_template(dirs, programs));
  auto boot_id = TRY(read_boot_id());
  auto hierarchies = TRY(find_hierarchies());
  auto cgroups = TRY_CONTEXT(CgroupTree::create(std::move(hierarchies), group_name(dirs.run_path)), "cgroups");
  auto uids = TRY(open_uid_ranges(boot_id));
  auto journal = TRY(Journal::open(dirs.run.get()));
  TRY(undo_earlier_life(cgroups, uids, journal, boot_id));
  auto services = TRY(cgroups.make(kServicesGroup, {}));
  auto operators = TRY(listen_for_operators(dirs.run.get(), users.control.gid));
  auto host = TRY(probe_host(cgroups, uids.usable()));

  auto loop = TRY(EventLoop::create());
  Helpers helpers(*loop, std::move(programs.helper));
  VaultLink vault_link(*loop);
  Supervisor* middle = nullptr;
  Volumes volumes(*loop, vault_link, helpers, TRY(make_user_namespace(users.control.uid, users.control.gid)),
                  [&middle](const AgentId& agent) { middle->on_volume_lost(agent); });
  volumes.set_can_resume(host.vault_takeover());
  std::map<std::string, UniqueFd> filters;
  InstanceContext instances{.loop = *loop, .volumes = volumes, .cgroups = cgroups, .uids = uids, .journal = journal, .sandbox = shared,
                            .filters = filters, .bundles = dirs.bundles.get(), .boot_id = boot_id,
                            .on_exit = [&middle](const v1::InstanceExited& exit) { middle->on_instance_exit(exit); }};
  SupervisorParts parts{.loop = *loop, .instances = instances, .volumes = volumes, .vault = vault_link, .helpers = helpers,
                        .totals = totals_of(config, host), .host = host, .volumes_dir = dirs.volumes.get(), .keys_dir = dirs.keys.get(),
                        .state_dir = dirs.state.get(), .operators = operators.get(), .operators_path = dirs.run_path + "/control.sock",
                        .control_arguments = {"--metrics", config.metrics, "--log-level", config.log_level, "--run-dir", dirs.run_path,
                                              "--state-dir", config.state_dir},
                        .vault_arguments = {"--log-level", config.log_level},
                        .shutdown_timeout = std::chrono::seconds(config.shutdown_timeout)};
  Supervisor supervisor(std::move(parts));
  middle = &supervisor;
  Service vault = make_service(*loop, {.name = "flodea-vault", .identity = users.vault, .ambient = {CAP_IPC_LOCK}}, std::move(programs.vault),
                               services, supervisor.vault_callbacks());
  Service control = make_service(*loop, {.name = "flodea-control", .identity = users.control, .parent_death_signal = SIGKILL},
                                 std::move(programs.control), services, supervisor.control_callbacks());
  supervisor.use_services(vault, control);

  TRY(loop->watch(signals.get(), EPOLLIN, [&](std::uint32_t) {
    signalfd_siginfo info;
    if (::read(signals.get(), &info, sizeof info) == sizeof info) supervisor.on_terminate();
  }));
  Status outcome;
  begin(
      helpers, programs.dir.get(), filters, host,
      [&](const v1::Host& found) {
        supervisor.set_host(found);
        spdlog::info("state=up version={} run-dir={} cgroup={}", FLODEA_VERSION, dirs.run_path, found.cgroup());
        return supervisor.start();
      },
      [&](Error error) {
        outcome = tl::unexpected(std::move(error));
        loop->stop();
      });
  TRY(loop->run());
  TRY(outcome);
  ::unlinkat(dirs.run.get(), "control.sock", 0);
  if (auto removed = cgroups.remove_all(); !removed) spdlog::warn("leftover=\"{}\"", removed.error().message);
  spdlog::info("state=ended");
  return supervisor.exit_status();
}

int exit_status(const Error& error) { return error.code == Code::kFailedPrecondition ? EX_CONFIG : EXIT_FAILURE; }

}  // namespace
}  // namespace flodea::root

int main(int argc, char** argv) {
  auto parsed = flodea::root::parse_arguments(argc, argv);
  flodea::root::start_logging(parsed ? parsed->config.log_level : "info");
  if (!parsed) {
    spdlog::error("error=\"{}\"", parsed.error().describe());
    return 2;
  }
  if (parsed->exit_code) return *parsed->exit_code;
  auto done = flodea::root::run(parsed->config);
  if (done) return *done;
  spdlog::error("error=\"{}\"", done.error().describe());
  return flodea::root::exit_status(done.error());
}
