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
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <climits>
#include <optional>

#include "base/safe_path.h"
#include "supervisor/root/boot.h"
#include "supervisor/root/config.h"
#include "supervisor/root/directories.h"
#include "supervisor/root/group_home.h"
#include "supervisor/root/host.h"
#include "supervisor/root/kept_state.h"
#include "supervisor/root/open_files.h"
#include "supervisor/root/programs.h"
#include "supervisor/root/reload.h"
#include "supervisor/root/stage.h"
#include "supervisor/root/state_check.h"
#include "supervisor/root/takeover.h"

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

// SIGTERM, SIGINT and SIGHUP become events; SIGPIPE an errno.
Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::signal(SIGPIPE, SIG_IGN);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  return adopt_fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

Result<SandboxTemplate> make_template(const Directories& dirs, Programs& programs, Stage stage) {
  TRY_CONTEXT(make_skeleton(dirs.run.get()), "rootfs");
  TRY_CONTEXT(enter_stage(dirs.run.get(), stage), "stage");
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

Totals totals_of(const Config& config, const v1::Host& host, std::uint64_t open_files) {
  return {.agents = std::min({config.max_agents, host.uid_ranges(), agents_for(open_files)}),
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
  std::uint64_t open_files = 0;  // its limit
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
  EarlierLife earlier;
};

// What the next life's program and settings are found by.
struct Origin {
  std::string program;
  std::string directory;
  std::vector<std::string> arguments;
};

std::set<std::string> names_of(const EarlierLife& life) {
  std::set<std::string> names;
  for (const EarlierInstance& instance : life.instances)
    names.insert(instance.kept.request().agent_id() + "-" +
                 std::to_string(instance.kept.request().generation()));
  return names;
}

// From workers and the vault, where the life before was killed; all else of it is undone.
Status settle_earlier_life(Ground& g) {
  if (g.earlier.reloaded) return {};
  g.earlier = TRY(take_over({.cgroups = *g.cgroups,
                             .journal = *g.journal,
                             .boot_id = g.boot_id,
                             .vault_user = g.users.vault.uid,
                             .can_resume = g.host.vault_takeover()}));
  return undo_earlier_life(*g.cgroups, *g.uids, *g.journal, g.boot_id, names_of(g.earlier));
}

// Fewer agents than the settings allow: said at the start, and by `flodea node`.
void tell_open_files(const Config& config, Ground& g) {
  std::uint32_t agents = agents_for(g.open_files);
  if (agents >= std::min(config.max_agents, g.host.uid_ranges())) return;
  std::string why = "more than " + std::to_string(agents) + " agents at once (flodead may have " +
                    std::to_string(g.open_files) + " open files: raise LimitNOFILE)";
  spdlog::warn("missing=\"{}\"", why);
  g.host.add_missing(std::move(why));
}

// A list, each step possible only after the one before it.
Result<Ground> lay_ground(const Config& config, EarlierLife earlier) {
  Ground g;
  g.earlier = std::move(earlier);
  const bool reloaded = g.earlier.reloaded;
  TRY(require_root());
  ::umask(022);
  g.open_files = TRY(raise_open_files());
  g.signals = TRY(take_signals());
  g.users = TRY(find_users());
  // Before any directory is opened: a descriptor belongs to the namespace it was opened in.
  if (!reloaded) TRY(leave_host_mount_namespace());
  g.programs = TRY(open_programs(config));
  g.dirs = TRY(open_directories(config, g.users));
  g.lock = reloaded ? std::move(g.earlier.lock) : TRY(lock_run_dir(g.dirs.run.get()));
  g.shared = TRY(make_template(g.dirs, g.programs, reloaded ? Stage::kMade : Stage::kNew));
  g.boot_id = TRY(read_boot_id());
  g.journal = TRY(Journal::open(g.dirs.run.get()));
  const std::string group = group_name(g.dirs.run_path);
  auto here = TRY(find_hierarchies());
  auto hierarchies = TRY(settle_group_home(std::move(here), group, *g.journal, g.boot_id));
  g.cgroups = TRY(CgroupTree::create(std::move(hierarchies), group));
  g.uids = TRY(open_uid_ranges(g.boot_id));
  g.host = TRY(probe_host(*g.cgroups, g.uids->usable()));
  tell_open_files(config, g);
  TRY(settle_earlier_life(g));
  g.services = TRY(g.cgroups->make(kServicesGroup, {}));
  g.operators = reloaded ? std::move(g.earlier.operators)
                         : TRY(listen_for_operators(g.dirs.run.get(), g.users.control.gid));
  g.control_userns = TRY(make_user_namespace(g.users.control.uid, g.users.control.gid));
  return g;
}

void clear_ground(const Ground& ground) {
  ::unlinkat(ground.dirs.run.get(), "control.sock", 0);
  if (auto removed = ground.cgroups->remove_all(); !removed)
    spdlog::warn("leftover=\"{}\"", removed.error().message);
  spdlog::info("state=ended");
}

std::vector<std::string> control_arguments(const Config& config, const Directories& dirs) {
  return {"--metrics",   config.metrics, "--log-level",   config.log_level, "--run-dir",
          dirs.run_path, "--state-dir",  dirs.state_path, "--pressure",     config.pressure};
}

ServiceRow vault_row(const Users& users) {
  return {.name = "flodea-vault", .identity = users.vault, .ambient = {CAP_IPC_LOCK}};
}
ServiceRow control_row(const Users& users) {
  return {.name = "flodea-control", .identity = users.control, .parent_death_signal = SIGKILL};
}

std::string how_it_began(const EarlierLife& life) {
  std::string agents = std::to_string(life.instances.size()) + " agents go on";
  if (life.reloaded) return std::string("reloaded, version ") + FLODEA_VERSION + ", " + agents;
  return life.instances.empty() ? "" : "took over from a flodead that was killed, " + agents;
}

void on_signal(int signals, Supervisor& supervisor, Reload& reload) {
  signalfd_siginfo info;
  if (::read(signals, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo == SIGHUP)
    reload.run_for_signal();
  else
    supervisor.on_terminate();
}

// Wires the parts and runs the loop until the last of them has ended.
Result<int> serve(const Config& config, const Origin& origin, Ground& g) {
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
                     .totals = totals_of(config, g.host, g.open_files),
                     .host = g.host,
                     .volumes_dir = g.dirs.volumes.get(),
                     .keys_dir = g.dirs.keys.get(),
                     .state_dir = g.dirs.state.get(),
                     .operators = g.operators.get(),
                     .operators_path = g.dirs.run_path + "/control.sock",
                     .control_arguments = control_arguments(config, g.dirs),
                     .vault_arguments = {"--log-level", config.log_level},
                     .shutdown_timeout = std::chrono::seconds(config.shutdown_timeout),
                     .epoch = g.earlier.epoch,
                     .reloads = g.earlier.reloads,
                     .began = how_it_began(g.earlier)});
  supervisor = &middle;
  Service vault(*loop, vault_row(g.users), std::move(g.programs.vault), g.services->unified_dir(),
                middle.vault_callbacks());
  Service control(*loop, control_row(g.users), std::move(g.programs.control),
                  g.services->unified_dir(), middle.control_callbacks());
  middle.use_services(vault, control);
  Reload reload({.loop = *loop,
                 .helpers = helpers,
                 .supervisor = middle,
                 .program = origin.program,
                 .directory = origin.directory,
                 .arguments = origin.arguments,
                 .run_dir = g.dirs.run_path,
                 .state_dir = g.dirs.state_path,
                 .lock = g.lock.get(),
                 .operators = g.operators.get(),
                 .reloads = g.earlier.reloads});
  middle.use_reload(reload);
  TRY(loop->watch(g.signals.get(), EPOLLIN,
                  [&](std::uint32_t) { on_signal(g.signals.get(), middle, reload); }));
  middle.adopt(std::move(g.earlier));
  Status outcome;
  begin(helpers, {g.programs.dir.get(), g.programs.path}, filters, middle, [&](Status begun) {
    outcome = std::move(begun);
    if (!outcome) loop->stop();
  });
  auto ran = loop->run();
  helpers.dismiss_ready();
  // However the loop came to its end: no mount is closed by this process while its vault is gone.
  // Agents that run go on: the next flodead takes them over.
  volumes.let_go();
  TRY(std::move(ran));
  TRY(outcome);
  return middle.exit_status();
}

Result<int> run(const Config& config, const Origin& origin, EarlierLife earlier) {
  auto ground = TRY(lay_ground(config, std::move(earlier)));
  int status = TRY(serve(config, origin, ground));
  clear_ground(ground);
  return status;
}

Result<Origin> own_origin(std::vector<std::string> arguments) {
  char directory[PATH_MAX];
  if (::getcwd(directory, sizeof directory) == nullptr) return fail_errno("getcwd");
  return Origin{.program = TRY(own_program_path()),
                .directory = directory,
                .arguments = std::move(arguments)};
}

// Paths among the arguments are meant from where the first life was started.
Result<v1::KeptState> enter_kept_state(int fd) {
  auto state = TRY(read_kept_state(fd));
  if (::chdir(state.directory().c_str()) != 0) return fail_errno("chdir " + state.directory());
  return state;
}

int exit_status(const Error& error) {
  return error.code == Code::kFailedPrecondition ? EX_CONFIG : EXIT_FAILURE;
}

int report(const Error& error, int status) {
  spdlog::error("error=\"{}\"", error.describe());
  return status;
}

int run_main(int argc, char** argv) {
  std::optional<v1::KeptState> state;
  if (int fd = kept_state_argument(argc, argv); fd >= 0) {
    UniqueFd own(fd);
    auto entered = enter_kept_state(fd);
    if (!entered) {
      start_logging("info");
      return report(entered.error(), exit_status(entered.error()));
    }
    state = std::move(*entered);
  }
  auto parsed = parse_arguments(argc, argv);
  start_logging(parsed ? parsed->config.log_level : "info");
  if (!parsed) return report(parsed.error(), EX_CONFIG);
  if (parsed->exit_code) return *parsed->exit_code;
  auto done = [&]() -> Result<int> {
    if (parsed->config.check_state >= 0) {
      TRY(require_root());
      TRY(check_state(parsed->config, *state));
      return EXIT_SUCCESS;
    }
    auto origin = TRY(own_origin(own_arguments(argc, argv)));
    EarlierLife earlier;
    if (state) {
      earlier = TRY(adopt_kept_state(std::move(*state)));
      origin.program = earlier.program;
      origin.directory = earlier.directory;
    }
    return run(parsed->config, origin, std::move(earlier));
  }();
  return done ? *done : report(done.error(), exit_status(done.error()));
}

}  // namespace
}  // namespace flodea::root

int main(int argc, char** argv) {
  ::prctl(PR_SET_NAME, "flodead");  // an exec by descriptor takes the name from the number
  return flodea::root::run_main(argc, argv);
}
