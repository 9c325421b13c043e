#include "supervisor/helper/volume/file_system.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "base/safe_path.h"
#include "supervisor/helper/volume/geometry.h"
#include "supervisor/helper/volume/run_tool.h"

namespace flodea::volume {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kFormatTimeout = 60s;
constexpr Nanos kCheckTimeout = 10min;

// Written out, so that the layout does not depend on a host's mke2fs.conf. No resize_inode: an
// image never grows in place online.
constexpr const char* kFeatures =
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"
    "huge_file,dir_nlink,extra_isize,"
    "metadata_csum";

// The superblock's fields that are read here (Documentation/filesystems/ext4/super.rst), from its
// start at byte 1024.
constexpr std::size_t kSuperblockAt = 1024, kMagicAt = 0x38, kStateAt = 0x3a;
constexpr unsigned kExt4Magic = 0xef53, kErrorState = 2;

struct SuperblockMarks {
  bool is_ext4;
  bool has_errors;
};

Result<SuperblockMarks> read_marks(int device) {
  alignas(4096) unsigned char block[4096];
  ssize_t n = ::pread(device, block, sizeof block, 0);
  if (n < 0) return fail_errno("read the superblock");
  if (n < static_cast<ssize_t>(sizeof block)) return SuperblockMarks{false, false};
  const unsigned char* super = block + kSuperblockAt;
  auto field = [super](std::size_t at) {
    return static_cast<unsigned>(super[at]) | static_cast<unsigned>(super[at + 1]) << 8;
  };
  return SuperblockMarks{field(kMagicAt) == kExt4Magic, (field(kStateAt) & kErrorState) != 0};
}

tl::unexpected<Error> damaged(std::string message) {
  return tl::unexpected(Error{.code = Code::kDataLoss, .message = std::move(message)}.with_remedy(
      "restore the volume from a backup, or remove the agent and apply it anew"));
}

// Exit codes of e2fsck(8): 0 clean, 1 and 2 repaired; from 4 on it needs a person.
Status repair(const std::string& device) {
  auto checked = TRY(run_tool("e2fsck", {"-p", device}, -1, kCheckTimeout));
  if (checked.exit_code < 4) return {};
  return damaged("the agent's file system has errors that e2fsck -p does not repair: " +
                 checked.output);
}

Status configure(int context, const std::string& device) {
  if (::fsconfig(context, FSCONFIG_SET_STRING, "source", device.c_str(), 0) != 0)
    return fail_errno("ext4 source");
  if (::fsconfig(context, FSCONFIG_SET_STRING, "errors", "remount-ro", 0) != 0)
    return fail_errno("ext4 errors=remount-ro");
  if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return fail_errno("mount ext4 on " + device);
  return {};
}

Result<UniqueFd> try_mount(const std::string& device) {
  auto context = TRY(adopt_fd(::fsopen("ext4", FSOPEN_CLOEXEC), "fsopen ext4"));
  TRY(configure(context.get(), device));
  return adopt_fd(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
                  "fsmount ext4");
}

// EUCLEAN, EFSBADCRC (EBADMSG) and EFSCORRUPTED are what ext4 says of a structure that it does not
// trust.
bool wants_repair(int error) { return error == EUCLEAN || error == EBADMSG; }

struct Directory {
  const char* path;
  mode_t mode;
  uid_t owner;
};
constexpr Directory kTree[] = {
    {"agent", 0755, 0},      {"agent/upper", 0755, 0},
    {"agent/work", 0700, 0}, {"agent/upper/data", 0755, 1000},
    {"store", 0700, 0},
};

Status make_owned_dir(int mount, const Directory& directory) {
  TRY(make_dir(mount, directory.path, directory.mode));
  auto fd = TRY(open_beneath(mount, directory.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchown(fd.get(), directory.owner, directory.owner) != 0 ||
      ::fchmod(fd.get(), directory.mode) != 0)
    return fail_errno(std::string("owner of ") + directory.path);
  return {};
}

}  // namespace

Result<bool> has_file_system(int device) { return TRY(read_marks(device)).is_ext4; }

Status format_image(int image, std::uint64_t usable) {
  Geometry geometry = geometry_for(usable);
  struct stat st{};
  if (::fstat(image, &st) != 0) return fail_errno("stat the volume");
  if (static_cast<std::uint64_t>(st.st_size) < geometry.device_bytes)
    return fail(Code::kInvalidArgument, "the volume has " + std::to_string(st.st_size) +
                                            " bytes, " + std::to_string(geometry.device_bytes) +
                                            " are needed");
  std::vector<std::string> arguments = {"-t",
                                        "ext4",
                                        "-q",
                                        "-F",
                                        "-b",
                                        "4096",
                                        "-I",
                                        std::to_string(kInodeBytes),
                                        "-m",
                                        "0",
                                        "-O",
                                        kFeatures,
                                        "-N",
                                        std::to_string(geometry.inodes),
                                        "-J",
                                        "size=" + std::to_string(geometry.journal_bytes >> 20),
                                        "-E",
                                        "nodiscard,assume_storage_prezeroed=1,root_owner=0:0",
                                        "/proc/self/fd/3",
                                        std::to_string(geometry.device_bytes / kBlockBytes)};
  auto made = TRY(run_tool("mke2fs", arguments, image, kFormatTimeout));
  if (made.exit_code != 0) return fail(Code::kInternal, "mke2fs failed: " + made.output);
  return {};
}

Result<UniqueFd> mount_file_system(const std::string& device) {
  SuperblockMarks marks{};
  {
    auto fd = TRY(adopt_fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC), "open " + device));
    marks = TRY(read_marks(fd.get()));
  }
  if (!marks.is_ext4) return damaged("there is no file system on the agent's volume");
  if (marks.has_errors) TRY(repair(device));
  auto mounted = try_mount(device);
  if (mounted || !wants_repair(mounted.error().sys_errno)) return mounted;
  TRY(repair(device));
  return try_mount(device);
}

Status make_tree(int mount) {
  for (const Directory& directory : kTree) TRY(make_owned_dir(mount, directory));
  return {};
}

Status enter_private_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno("make mounts private");
  return {};
}

Result<UniqueFd> detach_subtree(int mount, const char* name) {
  return adopt_fd(
      ::open_tree(mount, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW),
      std::string("open_tree ") + name);
}

Status map_owners(int mount, int user_namespace) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<__u64>(user_namespace);
  if (::mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return fail_errno("idmap the store");
  return {};
}

Status check_writable(int directory) {
  auto probe = adopt_fd(::openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600),
                        "probe the volume");
  if (probe) return write_all(probe->get(), "flodea");
  if (probe.error().sys_errno == EROFS) return damaged("the agent's file system came up read-only");
  return tl::unexpected(std::move(probe).error());
}

}  // namespace flodea::volume
