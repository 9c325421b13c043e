#include "supervisor/vault/testing/vault_harness.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/device_table.h"
#include "base/fd_layout.h"
#include "base/fd_message.h"
#include "base/safe_path.h"
#include "supervisor/helper/volume/fuse_mount.h"
#include "supervisor/helper/volume/geometry.h"

namespace flodea::vault::testing {
namespace {

using namespace std::chrono_literals;

Status require(bool done, const char* what) {
  if (!done) return fail_errno(what);
  return {};
}

Result<passwd> vault_user() {
  const passwd* user = ::getpwnam("flodea-vault");
  if (user == nullptr)
    return fail(Code::kNotFound, "there is no user flodea-vault: run scripts/setup");
  return *user;
}

// In the child, before exec: no allocation. flodea-vault gets its user and CAP_IPC_LOCK alone.
void become_vault_user(uid_t uid, gid_t gid) {
  ::prctl(PR_SET_KEEPCAPS, 1);
  if (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0) ::_exit(126);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = data[0].inheritable = 1u << CAP_IPC_LOCK;
  if (::syscall(SYS_capset, &header, data) != 0) ::_exit(126);
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_IPC_LOCK, 0, 0) != 0) ::_exit(126);
}

void place_descriptors(const int (&fds)[5]) {
  int high[5];
  for (int i = 0; i < 5; ++i) high[i] = ::fcntl(fds[i], F_DUPFD, 100);  // out of the way of 3–7
  for (int i = 0; i < 5; ++i) ::dup2(high[i], fd_layout::vault::kRoot + i);
  ::close_range(fd_layout::vault::kLast + 1, ~0u, 0);
}

struct VerbReply {
  std::string text;
  std::vector<UniqueFd> fds;
};
struct VerbResult {
  std::string text;
  std::vector<int> fds;
};
// A verb of flodea-helper in a process of its own: descriptors come back on a socket, errors as
// text.
Result<VerbReply> in_child(const std::function<Result<VerbResult>()>& verb) {
  auto pair = TRY(make_socketpair(SOCK_SEQPACKET));
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    auto done = verb();
    std::string text = done ? "+" + done->text
                            : "-" + std::to_string(static_cast<int>(done.error().code)) + " " +
                                  done.error().describe();
    auto sent = send_fd_message(pair.second.get(), text, done ? done->fds : std::vector<int>{});
    ::_exit(sent ? 0 : 1);
  }
  pair.second.reset();
  auto process = TRY(PidFd::open(pid));
  auto message = receive_fd_message(pair.first.get());
  TRY(process.wait());
  if (!message) return tl::unexpected(std::move(message).error().with_context("volume verb"));
  if (message->bytes[0] == '-')
    return fail(static_cast<Code>(std::atoi(message->bytes.c_str() + 1)), message->bytes.substr(1));
  return VerbReply{message->bytes.substr(1), std::move(message->fds)};
}

Result<v1::Reply> as_result(v1::Reply reply) {
  if (reply.code() == 0) return reply;
  return tl::unexpected(Error{.code = static_cast<Code>(reply.code()),
                              .message = reply.message(),
                              .remedy = reply.remedy()});
}

}  // namespace

Result<uid_t> flodea_uid() {
  const passwd* user = ::getpwnam("flodea");
  if (user == nullptr) return fail(Code::kNotFound, "there is no user flodea: run scripts/setup");
  return user->pw_uid;
}

Result<UniqueFd> make_user_namespace(uid_t host_uid) {
  // Made by the clone: unshare(2) would refuse where a sanitizer keeps a thread of its own.
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) {
    ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) ::syscall(SYS_pause);
  }
  if (pid < 0) return fail_errno("clone3 with a user namespace");
  auto child = TRY(PidFd::open(pid));
  std::string base = "/proc/" + std::to_string(pid);
  for (const char* name : {"/uid_map", "/gid_map"}) {
    auto map = TRY(adopt_fd(::open((base + name).c_str(), O_WRONLY | O_CLOEXEC), "open a map"));
    TRY(write_all(map.get(), "0 " + std::to_string(host_uid) + " 1"));
  }
  auto ns = TRY(adopt_fd(::open((base + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC),
                         "open the user namespace"));
  TRY(child.send_signal(SIGKILL));
  TRY(child.wait());
  return ns;
}

Result<std::unique_ptr<VaultHarness>> VaultHarness::create(const std::string& program,
                                                           const std::string& parent) {
  std::string pattern = parent + "/flodea-vault-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return fail_errno("mkdtemp " + pattern);
  std::unique_ptr<VaultHarness> harness(new VaultHarness(program, pattern));
  TRY(harness->make_dirs());
  const passwd* control = ::getpwnam("flodea");
  harness->control_user_namespace_ =
      TRY(make_user_namespace(control != nullptr ? control->pw_uid : 65534));
  return harness;
}

Status VaultHarness::make_dirs() {
  auto user = TRY(vault_user());
  TRY(require(::chmod(dir_.c_str(), 0711) == 0, "chmod"));
  for (const char* name : {"/volumes", "/keys"}) {
    std::string path = dir_ + name;
    TRY(require(
        ::mkdir(path.c_str(), 0700) == 0 && ::chown(path.c_str(), user.pw_uid, user.pw_gid) == 0,
        "make a state directory"));
  }
  return {};
}

VaultHarness::~VaultHarness() {
  if (process_.valid()) [[maybe_unused]]
    auto ended = kill_vault(SIGKILL);
  devices_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

Status VaultHarness::spawn(int root, int control) {
  auto user = TRY(vault_user());
  auto volumes = TRY(adopt_fd(
      ::open((dir_ + "/volumes").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open volumes"));
  auto keys = TRY(
      adopt_fd(::open((dir_ + "/keys").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open keys"));
  auto table = TRY(DeviceTable::make());
  const int fds[5] = {root, control, volumes.get(), keys.get(), table.get()};
  const char* level = std::getenv("FLODEA_TEST_LOG");
  const char* argv[] = {program_.c_str(), "--log-level", level != nullptr ? level : "error",
                        nullptr};
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    place_descriptors(fds);
    become_vault_user(user.pw_uid, user.pw_gid);
    ::execv(program_.c_str(), const_cast<char**>(argv));
    ::_exit(127);
  }
  process_ = TRY(PidFd::open(pid));
  return {};
}

Status VaultHarness::start_vault() {
  auto root = TRY(make_socketpair(SOCK_SEQPACKET));
  auto control = TRY(make_socketpair(SOCK_SEQPACKET));
  TRY(spawn(root.second.get(), control.second.get()));
  timeval patience{.tv_sec = 30, .tv_usec = 0};  // a vault that hangs fails the test
  for (int fd : {root.first.get(), control.first.get()})
    TRY(require(::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0,
                "SO_RCVTIMEO"));
  root_ = std::move(root.first);
  control_ = std::move(control.first);
  for (auto& [agent, device] : devices_) TRY(serve_kept(agent, device.get(), true));
  return {};
}

Result<ExitStatus> VaultHarness::kill_vault(int signal) {
  TRY(process_.send_signal(signal));
  return wait_vault();
}

Result<ExitStatus> VaultHarness::wait_vault() {
  auto status = TRY(process_.wait());
  process_ = PidFd();
  return status;
}

void VaultHarness::hang_up() {
  root_.reset();
  control_.reset();
}

Result<v1::Reply> VaultHarness::call(Socket socket, v1::Request request,
                                     const std::vector<int>& fds) {
  request.set_id(next_id_++);
  int fd = socket == Socket::kRoot ? root_.get() : control_.get();
  TRY(send_fd_message(fd, request.SerializeAsString(), fds));
  auto message = TRY(receive_fd_message(fd));
  v1::Reply reply;
  if (!reply.ParseFromString(message.bytes) || reply.id() != request.id())
    return fail(Code::kInternal, "not the reply that was awaited");
  return as_result(std::move(reply));
}

Status VaultHarness::serve_kept(const AgentId& agent, int device, bool resume) {
  v1::Request request;
  request.mutable_serve()->set_agent_id(agent.text());
  request.mutable_serve()->set_resume(resume);
  TRY(call(Socket::kRoot, std::move(request), {device}));
  return {};
}

Result<UniqueFd> VaultHarness::serve(const AgentId& agent) {
  auto fuse = TRY(volume::make_fuse_mount());
  TRY(serve_kept(agent, fuse.device.get(), false));
  devices_[agent] = std::move(fuse.device);
  return std::move(fuse.mount);
}

Status VaultHarness::stop(const AgentId& agent) {
  v1::Request request;
  request.mutable_stop()->set_agent_id(agent.text());
  TRY(call(Socket::kRoot, std::move(request)));
  devices_.erase(agent);
  return {};
}

Status VaultHarness::create_volume(const AgentId& agent, std::uint64_t usable) {
  v1::Request request;
  request.mutable_create()->set_agent_id(agent.text());
  request.mutable_create()->set_size_bytes(volume::device_size_for(usable));
  TRY(call(Socket::kRoot, std::move(request)));
  auto mount = TRY(serve(agent));
  auto verb = [&]() -> Result<VerbResult> {
    devices_.clear();  // in the child: nobody but flodead and the vault holds these
    auto loop = TRY(volume::make_filesystem(mount.get(), usable));
    return VerbResult{loop.encode(), {}};
  };
  auto made = TRY(in_child(verb));
  mount.reset();
  auto loop = TRY(volume::LoopIdentity::decode(made.text));
  TRY(volume::verify_closed(loop, devices_[agent].get(), 10s));
  return stop(agent);
}

Result<OpenVolume> VaultHarness::open_volume(const AgentId& agent) {
  auto mount = TRY(serve(agent));
  auto verb = [&]() -> Result<VerbResult> {
    devices_.clear();
    TRY(volume::enter_private_mount_namespace());
    auto mounted = TRY(volume::mount_volume(mount.get()));
    auto volume = TRY(volume::open_trees(std::move(mounted), control_user_namespace_.get()));
    return VerbResult{volume.loop.encode(),
                      {volume.agent_tree.release(), volume.store_tree.release()}};
  };
  auto opened = TRY(in_child(verb));
  if (opened.fds.size() != 2) return fail(Code::kInternal, "open_volume gave no trees");
  return OpenVolume{std::move(opened.fds[0]), std::move(opened.fds[1]),
                    TRY(volume::LoopIdentity::decode(opened.text))};
}

Status VaultHarness::close_volume(const AgentId& agent, OpenVolume volume) {
  volume.agent_tree.reset();
  volume.store_tree.reset();
  TRY(volume::verify_closed(volume.loop, devices_[agent].get(), 10s));
  return stop(agent);
}

}  // namespace flodea::vault::testing
