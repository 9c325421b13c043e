#include "supervisor/root/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "base/safe_path.h"

namespace flodea::root {
namespace {

constexpr std::size_t kLocaltimeLimit = 64 * 1024;

struct Directory {
  const char* path;
  mode_t mode;
};
constexpr Directory kSkeleton[] = {
    {"app", 0755},     {"data", 0700},    {"dev", 0755},
    {"etc", 0755},     {"etc/ssl", 0755}, {"etc/alternatives", 0755},
    {"home", 0755},    {"proc", 0555},    {"run", 0755},
    {"tmp", 01777},    {"usr", 0755},     {"var", 0755},
    {"var/tmp", 0755}, {"opt", 0755},     {"opt/flodea", 0755},
};

struct File {
  const char* path;
  std::string_view text;
};
constexpr File kFiles[] = {
    {"etc/passwd",
     "root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:1000:1000:agent:/data:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"etc/group", "root:x:0:\ntty:x:5:\nagent:x:1000:\nnogroup:x:65534:\n"},
    {"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
    {"etc/resolv.conf", ""},
    {"etc/ld.so.cache", ""},  // a place to mount on
};

// On a merged-/usr host the same links as there; a host that still has them as directories is shown
// by /usr's alone.
constexpr const char* kUsrLinks[] = {"bin", "lib", "lib32", "lib64", "sbin"};

struct Node {
  const char* name;
  unsigned minor;
  unsigned major;
};
constexpr Node kNodes[] = {{"null", 3, 1},   {"zero", 5, 1},    {"full", 7, 1},
                           {"random", 8, 1}, {"urandom", 9, 1}, {"tty", 0, 5}};

struct Link {
  const char* name;
  const char* to;
};
constexpr Link kDevLinks[] = {{"fd", "/proc/self/fd"},
                              {"stdin", "/proc/self/fd/0"},
                              {"stdout", "/proc/self/fd/1"},
                              {"stderr", "/proc/self/fd/2"},
                              {"ptmx", "pts/ptmx"}};

Status make_directory(int dir, const char* path, mode_t mode) {
  TRY(make_dir(dir, path, mode));
  // mkdir obeys the umask, and an earlier life may have had another mode.
  if (::fchmodat(dir, path, mode, 0) != 0) return fail_errno(std::string("chmod ") + path);
  return {};
}

Status make_link(int dir, const char* name, const char* to) {
  if (::symlinkat(to, dir, name) != 0 && errno != EEXIST)
    return fail_errno(std::string("symlink ") + name);
  return {};
}

Status make_usr_links(int root) {
  for (const char* name : kUsrLinks) {
    char target[64];
    ssize_t n = ::readlink((std::string("/") + name).c_str(), target, sizeof target);
    if (n > 0 && n < 64)
      TRY(make_link(root, name, std::string(target, static_cast<std::size_t>(n)).c_str()));
  }
  return {};
}

// Where Node.js looks for what a program imports, once it has not found it beside the program.
Status make_module_link(int root) {
  return make_link(root, "node_modules", "opt/flodea/node_modules");
}

// Agents that outlive a flodead have this skeleton as their lowest layer: a file that is right is
// not touched, another one changes as one step.
Status write_file(int root, const char* path, std::string_view text) {
  auto there = read_file(root, path, kLocaltimeLimit);
  if (there && *there == text) return {};
  std::string_view name(path);
  auto dir =
      TRY(open_beneath(root, std::string(name.substr(0, name.rfind('/'))), O_RDONLY | O_DIRECTORY));
  return replace_file(dir.get(), std::string(name.substr(name.rfind('/') + 1)), text, 0644);
}

Status write_localtime(int root) {
  UniqueFd host(::open("/etc/localtime", O_RDONLY | O_CLOEXEC));
  if (!host) return {};  // no file is UTC
  return write_file(root, "etc/localtime", TRY(read_all(host.get(), kLocaltimeLimit)));
}

Status fill_dev(int dev) {
  for (const Node& node : kNodes) {
    if (::mknodat(dev, node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0)
      return fail_errno(std::string("mknod ") + node.name);
    if (::fchmodat(dev, node.name, 0666, 0) != 0)
      return fail_errno(std::string("chmod ") + node.name);
  }
  for (const Link& link : kDevLinks) TRY(make_link(dev, link.name, link.to));
  TRY(make_directory(dev, "pts", 0755));
  return make_directory(dev, "shm", 01777);
}

}  // namespace

Status leave_host_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return fail_errno("make the mount tree a slave");
  return {};
}

Status make_skeleton(int run_dir) {
  TRY(make_directory(run_dir, "rootfs", 0755));
  auto root = TRY(open_beneath(run_dir, "rootfs", O_RDONLY | O_DIRECTORY));
  for (const Directory& entry : kSkeleton) TRY(make_directory(root.get(), entry.path, entry.mode));
  for (const File& file : kFiles) TRY(write_file(root.get(), file.path, file.text));
  TRY(make_usr_links(root.get()));
  TRY(make_module_link(root.get()));
  return write_localtime(root.get());
}

Status enter_stage(int run_dir, Stage stage_is) {
  TRY(make_directory(run_dir, "stage", 0755));
  auto stage = TRY(open_beneath(run_dir, "stage", O_RDONLY | O_DIRECTORY));
  for (const char* name : {kStageBundle, kStageSkeleton, kStageVolume, kStageRoot, "dev"})
    TRY(make_directory(stage.get(), name, 0755));
  for (const char* name : kStageLayers) TRY(make_directory(stage.get(), name, 0755));
  if (::fchdir(stage.get()) != 0) return fail_errno("chdir to the stage");
  if (stage_is == Stage::kMade && ::umount2("dev", MNT_DETACH) != 0)
    return fail_errno("unmount the earlier prepared /dev");
  if (::mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") != 0)
    return fail_errno("mount the prepared /dev");
  auto dev =
      TRY(adopt_fd(::open("dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open the prepared /dev"));
  return fill_dev(dev.get());
}

std::vector<HostTree> host_trees(const std::string& agent_dir) {
  std::vector<HostTree> trees = {{"/usr", "root/usr"}, {"dev", "root/dev", true}};
  for (const char* path : {"/etc/ssl", "/etc/alternatives", "/etc/ld.so.cache"}) {
    if (::access(path, F_OK) == 0) trees.push_back({path, std::string("root") + path});
  }
  if (::access(agent_dir.c_str(), F_OK) == 0) trees.push_back({agent_dir, "root/opt/flodea"});
  return trees;
}

}  // namespace flodea::root
