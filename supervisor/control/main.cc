// flodea-control: the brain of the supervisor, without any privilege. Started by flodead as user
// flodea on the descriptors of base/fd_layout.h. Exit status: 0 every agent was stopped on
// flodead's request, or --check found nothing against it; 78 (EX_CONFIG) state, directories or
// settings are not as they must be: starting it again will not help; 2 wrong arguments; 1 anything
// else.
#include <fcntl.h>
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/arguments.h"
#include "base/fd_layout.h"
#include "base/program_log.h"
#include "policy/restrict_self.h"
#include "supervisor/control/control.h"
#include "supervisor/control/state/state_schema.h"

namespace flodea::control {
namespace {

Result<UniqueFd> take_descriptor(int fd, mode_t type, const char* name) {
  struct stat info{};
  if (::fstat(fd, &info) != 0 || (info.st_mode & S_IFMT) != type) {
    return fail(Code::kFailedPrecondition, "descriptor " + std::to_string(fd) + " is not the " +
                                               name + ": flodea-control is started by flodead");
  }
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail_errno("fcntl");
  return UniqueFd(fd);
}

Result<ControlFds> take_descriptors() {
  namespace fds = fd_layout::control;
  ControlFds out{.root = TRY(take_descriptor(fds::kRoot, S_IFSOCK, "socket to flodead")),
                 .vault = TRY(take_descriptor(fds::kVault, S_IFSOCK, "socket to flodea-vault")),
                 .operators = TRY(take_descriptor(fds::kOperators, S_IFSOCK, "operators' socket")),
                 .state_dir = TRY(take_descriptor(fds::kStateDir, S_IFDIR, "state directory"))};
  // A flodead that is older gives none, and its end would not be this program's to tell.
  if (::fcntl(fds::kMarks, F_SETFD, FD_CLOEXEC) == 0) out.marks = UniqueFd(fds::kMarks);
  if (::close_range(fds::kLast + 1, ~0u, 0) != 0) return fail_errno("close_range");
  return out;
}

// Many threads, each with little to allocate: a heap of its own for each would cost more than it
// saves.
void bound_heaps() { ::mallopt(M_ARENA_MAX, 2); }

Status run(ControlConfig config) {
  bound_heaps();
  ::umask(0077);  // state.db has all specs and events
  TRY(forbid_dumps_and_privileges());
  auto fds = TRY(take_descriptors());
  auto control = TRY(Control::create(std::move(config), std::move(fds)));
  return control->run();
}

int exit_status(const Error& error) {
  switch (error.code) {
    case Code::kDataLoss:
    case Code::kFailedPrecondition:
    case Code::kInvalidArgument:
      return EX_CONFIG;
    default:
      return EXIT_FAILURE;
  }
}

}  // namespace
}  // namespace flodea::control

int main(int argc, char** argv) {
  flodea::Arguments arguments("flodea-control",
                              "The unprivileged part of Flodea's supervisor. Started by flodead.");
  flodea::control::ControlConfig config;
  std::string level = "info";
  std::string run_dir;
  bool check = false;
  arguments.flag("--check", check,
                 "Only say whether this build can read the state; nothing changes");
  arguments.number("--epoch", config.epoch, "Which life of flodea-control this is");
  arguments.text("--metrics", config.metrics, "ADDR:PORT to serve Prometheus metrics on");
  arguments.text("--log-level", level, "trace, debug, info, warn, error");
  arguments.number("--crashed", config.crashed,
                   "CLOCK_MONOTONIC in ns at which the life before this one crashed");
  arguments.text("--run-dir", run_dir, "For messages only: the operators' socket is inherited");
  arguments.text("--pressure", config.pressure, "File with the host's memory pressure (PSI)");
  arguments.text("--state-dir", config.state_dir, "The state directory's path",
                 flodea::Arguments::Needed::kYes);
  if (auto exit = arguments.parse(argc, argv)) return *exit;
  flodea::start_logging("flodea-control", level);
  auto done = check ? flodea::control::check_state_file(config.state_dir + "/state.db")
                    : flodea::control::run(std::move(config));
  if (done) return EXIT_SUCCESS;
  spdlog::error("error=\"{}\"", done.error().describe());
  return flodea::control::exit_status(done.error());
}
