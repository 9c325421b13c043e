// flodea-vault: holds the node key and shows encrypted images in plain to the kernel. Started by
// flodead as user flodea-vault, with CAP_IPC_LOCK and nothing else, on the descriptors of
// base/fd_layout.h. Its start is a list of shrinking privileges. Exit status: 0 flodead is gone and
// nothing is served; 78 (EX_CONFIG) keys or directories are not as they must be: starting it again
// will not help; 2 wrong arguments; 1 anything else.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/arguments.h"
#include "base/event_loop.h"
#include "base/fd_layout.h"
#include "base/program_log.h"
#include "policy/restrict_self.h"
#include "supervisor/vault/image.h"
#include "supervisor/vault/keys.h"
#include "supervisor/vault/self_restriction.h"
#include "supervisor/vault/server.h"
#include "supervisor/vault/service.h"
#include "supervisor/vault/volume_fuse.h"

namespace flodea::vault {
namespace {

Status check_descriptor(int fd, mode_t type, const char* name) {
  struct stat st{};
  if (::fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != type)
    return fail(Code::kFailedPrecondition, "descriptor " + std::to_string(fd) + " is not the " +
                                               name + ": flodea-vault is started by flodead");
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail_errno("fcntl");
  return {};
}

Status check_descriptors() {
  TRY(check_descriptor(fd_layout::vault::kRoot, S_IFSOCK, "socket to flodead"));
  TRY(check_descriptor(fd_layout::vault::kControl, S_IFSOCK, "socket to flodea-control"));
  TRY(check_descriptor(fd_layout::vault::kVolumes, S_IFDIR, "directory of volumes"));
  TRY(check_descriptor(fd_layout::vault::kKeys, S_IFDIR, "directory of keys"));
  TRY(check_descriptor(fd_layout::vault::kTable, S_IFREG, "table of devices"));
  return close_from(fd_layout::vault::kLast + 1);
}

void lock_memory_or_warn() {
  if (auto locked = lock_memory(); !locked)
    spdlog::warn("memory is not locked as a whole: {}", locked.error().message);
}

Status run() {
  TRY(check_descriptors());
  TRY(forbid_dumps_and_privileges());
  lock_memory_or_warn();
  TRY(init_crypto());
  auto table = TRY(DeviceTable::open(UniqueFd(fd_layout::vault::kTable)));
  auto loop = TRY(EventLoop::create());
  Endpoints* endpoints_of_loop = nullptr;
  auto server = TRY(Server::create([&](const AgentId& agent) {
    spdlog::info("closed=\"the file system is unmounted\" agent={}", agent.text());
    loop->post([&] { endpoints_of_loop->stop_if_useless(); });
  }));
  TRY(restrict_self());

  UniqueFd volumes(fd_layout::vault::kVolumes);
  TRY_CONTEXT(Image::sweep(volumes.get()), "state directory");
  auto keys = TRY(KeyStore::open(UniqueFd(fd_layout::vault::kKeys)));
  SystemClock clock;
  Service service(keys, *server, std::move(volumes), std::move(table), clock);
  Endpoints endpoints(*loop, service, *server);
  endpoints_of_loop = &endpoints;
  TRY(endpoints.listen(UniqueFd(fd_layout::vault::kRoot), UniqueFd(fd_layout::vault::kControl)));
  spdlog::info("ready version={}", FLODEA_VERSION);
  return loop->run();
}

int exit_status(const Error& error) {
  return error.code == Code::kFailedPrecondition || error.code == Code::kDataLoss ? EX_CONFIG
                                                                                  : EXIT_FAILURE;
}

}  // namespace
}  // namespace flodea::vault

int main(int argc, char** argv) {
  flodea::Arguments arguments(
      "flodea-vault",
      "Holds the node key of Flodea and serves encrypted volumes. Started by flodead.");
  std::string level = "info";
  arguments.text("--log-level", level, "trace, debug, info, warn, error");
  if (auto exit = arguments.parse(argc, argv)) return *exit;
  flodea::start_logging("flodea-vault", level);
  flodea::vault::send_libfuse_log_to_spdlog();
  auto done = flodea::vault::run();
  if (done) return EXIT_SUCCESS;
  spdlog::error("error=\"{}\"", done.error().describe());
  return flodea::vault::exit_status(done.error());
}
