#include "bench/volume/targets.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/pid_fd.h"
#include "base/safe_path.h"
#include "base/unique_fd.h"
#include "supervisor/helper/volume/file_system.h"
#include "supervisor/helper/volume/geometry.h"
#include "supervisor/helper/volume/loop_device.h"
#include "supervisor/vault/testing/vault_harness.h"

namespace flodea::bench {

namespace harness = vault::testing;

namespace {

class RunningVault final : public VaultTarget {
 public:
  RunningVault(std::unique_ptr<harness::VaultHarness> vault, AgentId agent,
               harness::OpenVolume volume)
      : vault_(std::move(vault)), agent_(std::move(agent)), volume_(std::move(volume)) {}
  ~RunningVault() override {
    ::umount2(mount_point_.c_str(), MNT_DETACH);
    [[maybe_unused]] auto closed = vault_->close_volume(agent_, std::move(volume_));
  }
  std::string name() const override { return "flodea"; }
  std::string dir() const override { return mount_point_ + "/upper/data"; }
  Status attach(const std::string& mount_point) override {
    mount_point_ = mount_point;
    std::filesystem::create_directories(mount_point);
    if (::move_mount(volume_.agent_tree.get(), "", AT_FDCWD, mount_point.c_str(),
                     MOVE_MOUNT_F_EMPTY_PATH) != 0)
      return fail_errno("attach the volume");
    return {};
  }

 private:
  std::unique_ptr<harness::VaultHarness> vault_;
  AgentId agent_;
  harness::OpenVolume volume_;
  std::string mount_point_;
};

class PlainTarget final : public Target {
 public:
  PlainTarget(std::string image, std::string mount_point)
      : image_(std::move(image)), mount_point_(std::move(mount_point)) {}
  ~PlainTarget() override {
    ::umount2(mount_point_.c_str(), 0);
    ::unlink(image_.c_str());
  }
  std::string name() const override { return "plain loop ext4"; }
  std::string dir() const override { return mount_point_; }

 private:
  std::string image_;
  std::string mount_point_;
};

Status run(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (int error = ::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ); error != 0)
    return fail_errno("start " + arguments[0], error);
  auto child = TRY(PidFd::open(pid));
  auto status = TRY(child.wait());
  if (!status.success()) return fail(Code::kInternal, arguments[0] + " failed");
  return {};
}

class GocryptfsTarget final : public Target {
 public:
  explicit GocryptfsTarget(std::string mount_point) : mount_point_(std::move(mount_point)) {}
  ~GocryptfsTarget() override {
    ::umount2(mount_point_.c_str(), 0);
  }  // the daemon ends with its mount
  std::string name() const override { return "gocryptfs"; }
  std::string dir() const override { return mount_point_; }

 private:
  std::string mount_point_;
};

}  // namespace

Result<std::unique_ptr<VaultTarget>> start_vault_target(const std::string& program,
                                                        const std::string& dir,
                                                        std::uint64_t bytes) {
  auto vault = TRY(harness::VaultHarness::create(program, dir));
  TRY(vault->start_vault());
  AgentId agent = AgentId::random();
  TRY(vault->create_volume(agent, bytes));
  auto volume = TRY(vault->open_volume(agent));
  return std::make_unique<RunningVault>(std::move(vault), agent, std::move(volume));
}

Result<std::unique_ptr<Target>> make_plain_target(const std::string& dir, std::uint64_t bytes) {
  std::string image = dir + "/plain.img";
  std::string mount_point = dir + "/plain";
  std::filesystem::create_directories(mount_point);
  auto fd = TRY(adopt_fd(::open(image.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
                         "create the plain image"));
  if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(volume::device_size_for(bytes))) != 0)
    return fail_errno("fallocate");
  TRY(volume::format_image(fd.get(), bytes));
  auto loop = TRY(volume::attach_loop(fd.get()));
  auto mount = TRY(volume::mount_file_system(loop.path));
  if (::move_mount(mount.get(), "", AT_FDCWD, mount_point.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno("attach the plain image");
  return std::make_unique<PlainTarget>(image, mount_point);
}

Result<std::unique_ptr<Target>> make_gocryptfs_target(const std::string& dir) {
  if (::access("/usr/bin/gocryptfs", X_OK) != 0)
    return fail(Code::kNotFound, "gocryptfs is not installed");
  std::string cipher = dir + "/gocryptfs.cipher", mount_point = dir + "/gocryptfs",
              secret = dir + "/gocryptfs.secret";
  std::filesystem::create_directories(cipher);
  std::filesystem::create_directories(mount_point);
  auto fd =
      TRY(adopt_fd(::open(secret.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "password file"));
  TRY(write_all(fd.get(), "bench\n"));
  TRY(run({"/usr/bin/gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", secret, cipher}));
  TRY(run({"/usr/bin/gocryptfs", "-q", "-passfile", secret, cipher, mount_point}));
  return std::make_unique<GocryptfsTarget>(mount_point);
}

}  // namespace flodea::bench
