// flodead: the only lasting privileged program of Flodea. One thread, one loop; no network, no
// input of agents, nothing that blocks. See docs/root.md. Exit status: 0 stopped by a signal; 2
// wrong arguments; 78 settings or directories are not as they must be; 1 anything else.
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
#include <optional>

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
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ level=%l program=flodead %v", spdlog::pattern_time_type::utc));
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
  std::map<std::string, UniqueFd> jobs;  // by JobProgram::name
};

Result<UniqueFd> open_program(int dir, const char* name) {
  auto fd = adopt_fd(::openat(dir, name, O_RDONLY | O_CLOEXEC), std::string("open ") + name);
  if (!fd)
    return tl::unexpected(std::move(fd).error().with_remedy(
        "flodead's programs stand in one directory: build or install them all"));
  return fd;
}

// The siblings of this program, held open: a directory that only root may enter is no obstacle to
// services, nor is an upgrade.
Result<Programs> open_programs(const Config& config) {
  char self[PATH_MAX];
  ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || n == sizeof self) return fail_errno("readlink /proc/self/exe");
  Programs programs;
  programs.path.assign(self, static_cast<std::size_t>(n));
  programs.path.resize(programs.path.rfind('/'));
  programs.dir = TRY(adopt_fd(::open(programs.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                              "open " + programs.path));
  int dir = programs.dir.get();
  programs.helper = TRY(open_program(dir, "flodea-helper"));
  programs.worker = TRY(open_program(dir, "flodea-worker"));
  programs.vault = TRY(open_program(dir, "flodea-vault"));
  for (const JobProgram& job : kJobPrograms) {
    if (auto fd = open_program(dir, job.executable)) programs.jobs[job.name] = std::move(*fd);
  }
  programs.control =
      TRY(open_program(dir, config.control.empty() ? "flodea-control" : config.control.c_str()));
  return programs;
}

Result<SandboxTemplate> make_template(const Directories& dirs, Programs& programs) {
  TRY_CONTEXT(make_skeleton(dirs.run.get()), "rootfs");
  TRY_CONTEXT(enter_stage(dirs.run.get()), "stage");
  SandboxTemplate shared{.skeleton = dirs.run_path + "/rootfs",
                         .trees = host_trees(programs.path + "/agent")};
  shared.worker = std::move(programs.worker);
  shared.own_netns =
      TRY(adopt_fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "open /proc/self/ns/net"));
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

// What needs helpers, and then the services.
Detached begin(Helpers& helpers, ProgramsDir programs, std::map<std::string, UniqueFd>& filters,
               Supervisor& supervisor, std::function<void(Status)> begun) {
  v1::Host host = supervisor.host();
  auto discovering = discover(helpers, programs, filters, host);
  auto found = co_await discovering;
  if (found) {
    supervisor.set_host(host);
    spdlog::info("state=up version={} cgroup={}", FLODEA_VERSION, host.cgroup());
    found = supervisor.start();
    helpers.keep_one_ready();
  }
  begun(std::move(found));
}

// What flodead stands on; undone by the kernel, or by the next life from the journal.
struct Ground {
  UniqueFd signals;
  Users users;
  Programs programs;
  Directories dirs;
  UniqueFd lock;
  SandboxTemplate shared;
  std::string boot_id;
  std::optional<CgroupTree> cgroups;
  std::optional<UidRanges> uids;
  std::optional<Journal> journal;
  std::optional<Cgroup> services;
  UniqueFd operators;
  UniqueFd control_userns;
  v1::Host host;
};

// A list, each step possible only after the one before it.
Result<Ground> lay_ground(const Config& config) {
  Ground g;
  TRY(require_root());
  ::umask(022);
  g.signals = TRY(take_signals());
  g.users = TRY(find_users());
  // Before any directory is opened: a descriptor belongs to the namespace it was opened in.
  TRY(leave_host_mount_namespace());
  g.programs = TRY(open_programs(config));
  g.dirs = TRY(open_directories(config, g.users));
  g.lock = TRY(lock_run_dir(g.dirs.run.get()));
  g.shared = TRY(make_template(g.dirs, g.programs));
  g.boot_id = TRY(read_boot_id());
  auto hierarchies = TRY(find_hierarchies());
  g.cgroups = TRY(CgroupTree::create(std::move(hierarchies), group_name(g.dirs.run_path)));
  g.uids = TRY(open_uid_ranges(g.boot_id));
  g.journal = TRY(Journal::open(g.dirs.run.get()));
  TRY(undo_earlier_life(*g.cgroups, *g.uids, *g.journal, g.boot_id));
  g.services = TRY(g.cgroups->make(kServicesGroup, {}));
  g.operators = TRY(listen_for_operators(g.dirs.run.get(), g.users.control.gid));
  g.control_userns = TRY(make_user_namespace(g.users.control.uid, g.users.control.gid));
  g.host = TRY(probe_host(*g.cgroups, g.uids->usable()));
  return g;
}

void clear_ground(const Ground& ground) {
  ::unlinkat(ground.dirs.run.get(), "control.sock", 0);
  if (auto removed = ground.cgroups->remove_all(); !removed)
    spdlog::warn("leftover=\"{}\"", removed.error().message);
  spdlog::info("state=ended");
}

std::vector<std::string> control_arguments(const Config& config, const Directories& dirs) {
  return {"--metrics", config.metrics, "--log-level", config.log_level,
          "--run-dir", dirs.run_path,  "--state-dir", dirs.state_path,
          "--pressure", config.pressure};
}

ServiceRow vault_row(const Users& users) {
  return {.name = "flodea-vault", .identity = users.vault, .ambient = {CAP_IPC_LOCK}};
}
ServiceRow control_row(const Users& users) {
  return {.name = "flodea-control", .identity = users.control, .parent_death_signal = SIGKILL};
}

// Wires the parts and runs the loop until the last of them has ended.
Result<int> serve(const Config& config, Ground& g) {
  auto loop = TRY(EventLoop::create());
  Helpers helpers(*loop, std::move(g.programs.helper));
  VaultLink vault_link(*loop);
  std::map<std::string, UniqueFd> filters;
  Supervisor* supervisor = nullptr;
  Volumes volumes(vault_link, helpers, std::move(g.control_userns),
                  [&](const AgentId& agent) { supervisor->on_volume_lost(agent); });
  volumes.set_can_resume(g.host.vault_takeover());
  InstanceContext instances{
      *loop,      volumes,
      *g.cgroups, *g.uids,
      *g.journal, g.shared,
      filters,    g.dirs.bundles.get(),
      g.boot_id,  [&](const v1::InstanceExited& exit) { supervisor->on_instance_exit(exit); }};
  Jobs jobs({.loop = *loop,
             .helpers = helpers,
             .cgroups = *g.cgroups,
             .uids = *g.uids,
             .journal = *g.journal,
             .filters = filters,
             .programs = std::move(g.programs.jobs),
             .bundles = g.dirs.bundles.get(),
             .boot_id = g.boot_id,
             .cpu_millis = g.host.cpus() * 1000});
  Supervisor middle({.loop = *loop,
                     .instances = instances,
                     .volumes = volumes,
                     .jobs = jobs,
                     .vault = vault_link,
                     .totals = totals_of(config, g.host),
                     .host = g.host,
                     .volumes_dir = g.dirs.volumes.get(),
                     .keys_dir = g.dirs.keys.get(),
                     .state_dir = g.dirs.state.get(),
                     .operators = g.operators.get(),
                     .operators_path = g.dirs.run_path + "/control.sock",
                     .control_arguments = control_arguments(config, g.dirs),
                     .vault_arguments = {"--log-level", config.log_level},
                     .shutdown_timeout = std::chrono::seconds(config.shutdown_timeout)});
  supervisor = &middle;
  Service vault(*loop, vault_row(g.users), std::move(g.programs.vault), g.services->unified_dir(),
                middle.vault_callbacks());
  Service control(*loop, control_row(g.users), std::move(g.programs.control),
                  g.services->unified_dir(), middle.control_callbacks());
  middle.use_services(vault, control);
  TRY(loop->watch(g.signals.get(), EPOLLIN, [&](std::uint32_t) {
    signalfd_siginfo info;
    if (::read(g.signals.get(), &info, sizeof info) == sizeof info) middle.on_terminate();
  }));
  Status outcome;
  begin(helpers, {g.programs.dir.get(), g.programs.path}, filters, middle, [&](Status begun) {
    outcome = std::move(begun);
    if (!outcome) loop->stop();
  });
  auto ran = loop->run();
  helpers.dismiss_ready();
  // However the loop came to its end: no mount is closed by this process while its vault is gone.
  volumes.abandon_all();
  TRY(std::move(ran));
  TRY(outcome);
  return middle.exit_status();
}

Result<int> run(const Config& config) {
  auto ground = TRY(lay_ground(config));
  int status = TRY(serve(config, ground));
  clear_ground(ground);
  return status;
}

int exit_status(const Error& error) {
  return error.code == Code::kFailedPrecondition ? EX_CONFIG : EXIT_FAILURE;
}

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
