#include "supervisor/root/directories.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/safe_path.h"

namespace flodea::root {
namespace {

constexpr const char* kSocketName = "control.sock";

Result<Identity> find_user(const char* name) {
  errno = 0;
  const passwd* user = ::getpwnam(name);
  if (user == nullptr) {
    auto error =
        fail(Code::kFailedPrecondition, std::string("there is no user \"") + name + "\"").value();
    return tl::unexpected(std::move(error).with_remedy(
        "run scripts/setup, or systemd-sysusers with packaging/sysusers.d/flodea.conf"));
  }
  // The agent is 1000 in its sandbox: a bundle's owner of that number would be the agent itself.
  if (user->pw_uid == 0 || user->pw_uid == 1000)
    return fail(Code::kFailedPrecondition,
                std::string("user \"") + name + "\" must not have uid 0 or 1000");
  return Identity{user->pw_uid, user->pw_gid};
}

std::string octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mode);
  return text;
}

Status make_path(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    if (::mkdir(path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST)
      return fail_errno("mkdir " + path.substr(0, at));
  }
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("mkdir " + path);
  return {};
}

// The top of a tree: made or taken over if it is root's; packagers and systemd make it with modes
// of their own.
Result<UniqueFd> open_top(const std::string& path, gid_t group, mode_t mode) {
  TRY(make_path(path));
  auto dir =
      TRY(adopt_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + path));
  struct stat info;
  if (::fstat(dir.get(), &info) != 0) return fail_errno("stat " + path);
  if (info.st_uid != 0) {
    auto error = fail(Code::kFailedPrecondition,
                      path + " belongs to uid " + std::to_string(info.st_uid) + ", not to root")
                     .value();
    return tl::unexpected(std::move(error).with_remedy("chown root: " + path));
  }
  if (::fchown(dir.get(), 0, group) != 0 || ::fchmod(dir.get(), mode) != 0)
    return fail_errno("set owner and mode of " + path);
  return dir;
}

struct Inner {
  const char* name;
  Identity owner;
  mode_t mode;
  mode_t earlier = mode;  // what an earlier version made it with: it is narrowed
};

Status check_inner(int dir, const std::string& path, const Inner& inner) {
  struct stat info;
  if (::fstat(dir, &info) != 0) return fail_errno("stat " + path);
  std::string owner = std::to_string(inner.owner.uid) + ":" + std::to_string(inner.owner.gid);
  if (info.st_uid != inner.owner.uid || info.st_gid != inner.owner.gid) {
    auto error =
        fail(Code::kFailedPrecondition, path + " belongs to " + std::to_string(info.st_uid) + ":" +
                                            std::to_string(info.st_gid) + ", not to " + owner)
            .value();
    return tl::unexpected(std::move(error).with_remedy("chown " + owner + " " + path +
                                                       ", if its content is Flodea's"));
  }
  if ((info.st_mode & 07777) == inner.earlier && ::fchmod(dir, inner.mode) != 0)
    return fail_errno("set mode of " + path);
  if ((info.st_mode & 07777) != inner.mode && (info.st_mode & 07777) != inner.earlier) {
    auto error = fail(Code::kFailedPrecondition, path + " has mode " + octal(info.st_mode & 07777) +
                                                     ", not " + octal(inner.mode))
                     .value();
    return tl::unexpected(std::move(error).with_remedy("chmod " + octal(inner.mode) + " " + path));
  }
  return {};
}

Result<UniqueFd> open_inner(int parent, const std::string& parent_path, const Inner& inner) {
  std::string path = parent_path + "/" + inner.name;
  bool made = ::mkdirat(parent, inner.name, 0700) == 0;
  if (!made && errno != EEXIST) return fail_errno("mkdir " + path);
  auto dir = TRY_CONTEXT(open_beneath(parent, inner.name, O_RDONLY | O_DIRECTORY), parent_path);
  if (made && (::fchown(dir.get(), inner.owner.uid, inner.owner.gid) != 0 ||
               ::fchmod(dir.get(), inner.mode) != 0))
    return fail_errno("set owner and mode of " + path);
  TRY(check_inner(dir.get(), path, inner));
  return dir;
}

}  // namespace

Result<std::string> absolute_path(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return fail_errno("resolve " + path);
  return std::string(resolved);
}

Result<Users> find_users() {
  return Users{TRY(find_user("flodea")), TRY(find_user("flodea-vault"))};
}

Result<Directories> open_directories(const Config& config, const Users& users) {
  Directories dirs;
  dirs.state = TRY_CONTEXT(open_top(config.state_dir, users.control.gid, 01771), "state directory");
  dirs.run = TRY_CONTEXT(open_top(config.run_dir, 0, 0755), "run directory");
  dirs.run_path = TRY(absolute_path(config.run_dir));
  dirs.state_path = TRY(absolute_path(config.state_dir));
  dirs.volumes =
      TRY_CONTEXT(open_inner(dirs.state.get(), config.state_dir, {"volumes", users.vault, 0700}),
                  "state directory");
  dirs.keys =
      TRY_CONTEXT(open_inner(dirs.state.get(), config.state_dir, {"keys", users.vault, 0700}),
                  "state directory");
  dirs.bundles = TRY_CONTEXT(
      open_inner(dirs.state.get(), config.state_dir, {"bundles", users.control, 0700, 0755}),
      "state directory");
  TRY_CONTEXT(open_inner(dirs.state.get(), config.state_dir, {"logs", users.control, 0700}),
              "state directory");
  return dirs;
}

Result<UniqueFd> lock_run_dir(int run_dir) {
  auto lock = TRY(open_beneath(run_dir, "lock", O_RDWR | O_CREAT, 0644));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    std::string holder = read_all(lock.get(), 64).value_or("");
    auto error = fail(Code::kFailedPrecondition, "another flodead (pid " +
                                                     holder.substr(0, holder.find('\n')) +
                                                     ") uses this run directory")
                     .value();
    return tl::unexpected(std::move(error).with_remedy(
        "stop it, or give this one its own --run-dir and --state-dir"));
  }
  if (::ftruncate(lock.get(), 0) != 0) return fail_errno("truncate the lock");
  TRY(write_all(lock.get(), std::to_string(::getpid()) + "\n"));
  return lock;
}

Result<UniqueFd> listen_for_operators(int run_dir, gid_t group) {
  if (::unlinkat(run_dir, kSocketName, 0) != 0 && errno != ENOENT)
    return fail_errno("remove the old control.sock");
  auto socket =
      TRY(adopt_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Through the descriptor: a long path of the run directory does not fit into an address.
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", run_dir,
                kSocketName);
  mode_t before = ::umask(0777);
  int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int bind_errno = errno;
  ::umask(before);
  if (bound != 0) return fail_errno("bind control.sock", bind_errno);
  if (::fchownat(run_dir, kSocketName, 0, group, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("chown control.sock");
  if (::fchmodat(run_dir, kSocketName, 0660, 0) != 0) return fail_errno("chmod control.sock");
  if (::listen(socket.get(), SOMAXCONN) != 0) return fail_errno("listen on control.sock");
  return socket;
}

}  // namespace flodea::root
