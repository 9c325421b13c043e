#include "worker/testing/worker_harness.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "base/fd_layout.h"
#include "base/fd_message.h"
#include "base/safe_path.h"
#include "policy/seccomp_profile.h"

namespace flodea::worker::testing {
namespace v1 = flodea::attach::v1;
namespace fds = fd_layout::worker;
namespace {

constexpr int kProtocol = 1;
constexpr const char* kUidMap = "0 1879048192 65536\n";

Result<UniqueFd> filter_memfd(const Filter& filter) {
  auto fd =
      TRY(adopt_fd(::memfd_create("filter", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  TRY(write_all(fd.get(), {reinterpret_cast<const char*>(filter.data()),
                           filter.size() * sizeof(sock_filter)}));
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail_errno("seal");
  return fd;
}

Status write_map(pid_t pid, const char* name) {
  auto path = "/proc/" + std::to_string(pid) + "/" + name;
  auto fd = TRY(adopt_fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC), path));
  return write_all(fd.get(), kUidMap);
}

// Between fork and exec.
[[noreturn]] void exec_worker(int program, int go, const std::array<int, 8>& sources) {
  char byte;
  if (::read(go, &byte, 1) != 1) ::_exit(120);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) ::_exit(121);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (::dup2(sources[i], fds::kAttach + static_cast<int>(i)) < 0) ::_exit(122);
  }
  char name[] = "flodea-worker";
  char* const argv[] = {name, nullptr};
  char* const envp[] = {nullptr};
  ::syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
  ::_exit(123);
}

Result<UniqueFd> above_layout(int fd) {
  return adopt_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 32), "F_DUPFD");
}

int left_ms(std::chrono::steady_clock::time_point deadline) {
  auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
          .count();
  return left < 0 ? 0 : static_cast<int>(left);
}

bool readable(int fd, int timeout_ms) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, timeout_ms) > 0;
}

}  // namespace

Filter allow_everything() { return {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}; }

Filter profile(const std::string& name) {
  auto source = [](const std::string& wanted) -> Result<std::string> {
    auto directory =
        TRY(adopt_fd(::open(FLODEA_PROFILES, O_PATH | O_DIRECTORY | O_CLOEXEC), FLODEA_PROFILES));
    return read_file(directory.get(), wanted + ".json", 1 << 20);
  };
  auto parsed = source(name).and_then(
      [&](const std::string& text) { return parse_seccomp_profile(name, text, source); });
  auto compiled = parsed.and_then([](const SeccompProfile& found) { return compile(found); });
  if (compiled) return *compiled;
  std::fprintf(stderr, "profile %s: %s\n", name.c_str(), compiled.error().describe().c_str());
  std::abort();
}

Filter refuse(std::initializer_list<int> syscalls, std::uint32_t action) {
  Filter filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (int number : syscalls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

Result<WorkerHarness> WorkerHarness::start(const HarnessOptions& options) {
  auto program =
      TRY(adopt_fd(::open(options.worker.c_str(), O_RDONLY | O_CLOEXEC), options.worker));
  auto attach = TRY(make_socketpair(SOCK_SEQPACKET));
  auto log = TRY(make_pipe());
  if (options.log_pipe_bytes != 0) ::fcntl(log.second.get(), F_SETPIPE_SZ, options.log_pipe_bytes);
  auto page = TRY(make_status_page());
  auto store = TRY(adopt_fd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "open store"));
  auto worker_filter = TRY(filter_memfd(options.worker_filter));
  auto agent_filter = TRY(filter_memfd(options.agent_filter));
  auto go = TRY(make_pipe());

  std::vector<UniqueFd> raised;
  std::array<int, 8> sources{};
  const std::array<int, 8> given{attach.second.get(), attach.first.get(), log.second.get(),
                                 log.first.get(),     page.get(),         store.get(),
                                 worker_filter.get(), agent_filter.get()};
  for (std::size_t i = 0; i < given.size(); ++i) {
    raised.push_back(TRY(above_layout(given[i])));
    sources[i] = raised.back().get();
  }
  auto go_read = TRY(above_layout(go.first.get()));
  auto program_raised = TRY(above_layout(program.get()));

  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWPID;
  args.exit_signal = SIGCHLD;
  auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return fail_errno("clone3 with user and PID namespace");
  if (pid == 0) exec_worker(program_raised.get(), go_read.get(), sources);
  auto process = TRY(PidFd::open(pid));
  TRY(write_map(pid, "gid_map"));
  TRY(write_map(pid, "uid_map"));
  TRY(write_all(go.second.get(), "x"));
  auto reader = TRY(StatusPageReader::map(page.get()));
  return WorkerHarness(std::move(process), std::move(attach.first), std::move(log.first),
                       std::move(reader));
}

WorkerHarness::~WorkerHarness() {
  if (!process_.valid()) return;
  [[maybe_unused]] auto killed = process_.send_signal(SIGKILL);
  [[maybe_unused]] auto reaped = process_.wait();
}

Result<UniqueFd> WorkerHarness::attach(std::uint64_t epoch,
                                       const std::optional<v1::LaunchPlan>& plan) {
  auto pair = TRY(make_socketpair(SOCK_STREAM | SOCK_NONBLOCK));
  TRY(offer(epoch, plan, std::move(pair.second)));
  return std::move(pair.first);
}

Status WorkerHarness::offer(std::uint64_t epoch, const std::optional<v1::LaunchPlan>& plan,
                            UniqueFd socket) {
  v1::ToWorker message;
  message.set_protocol(kProtocol);
  message.set_epoch(epoch);
  auto* attach = message.mutable_attach();
  if (plan) *attach->mutable_launch() = *plan;
  int fd = socket.get();
  return send_fd_message(attach_.get(), message.SerializeAsString(), std::span(&fd, 1));
}

Status WorkerHarness::send(const v1::ToWorker& message) {
  return send_fd_message(attach_.get(), message.SerializeAsString());
}

Result<v1::FromWorker> WorkerHarness::receive(int timeout_ms) {
  if (!readable(attach_.get(), timeout_ms))
    return fail(Code::kDeadlineExceeded, "the worker says nothing");
  auto message = TRY(receive_fd_message(attach_.get()));
  v1::FromWorker parsed;
  if (!parsed.ParseFromString(message.bytes)) return fail(Code::kDataLoss, "not a FromWorker");
  return parsed;
}

Result<v1::FromWorker> WorkerHarness::receive(v1::FromWorker::MessageCase kind, int timeout_ms) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    auto message = TRY(receive(left_ms(deadline)));
    if (message.message_case() == kind) return message;
  }
}

Result<LogFrame> WorkerHarness::next_log(int timeout_ms) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    auto parsed = TRY(parse_log_frame(log_bytes_));
    if (parsed) {
      log_bytes_.erase(0, parsed->bytes);
      return std::move(parsed->frame);
    }
    if (!readable(log_.get(), left_ms(deadline)))
      return fail(Code::kDeadlineExceeded, "no log line");
    std::array<char, 65536> chunk;
    ssize_t n = ::read(log_.get(), chunk.data(), chunk.size());
    if (n <= 0) return fail(Code::kCancelled, "the log pipe has ended");
    log_bytes_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

Result<std::vector<LogFrame>> WorkerHarness::logs_until(std::string_view text, int timeout_ms) {
  std::vector<LogFrame> out;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    out.push_back(TRY(next_log(left_ms(deadline))));
    if (out.back().text == text) return out;
  }
}

std::vector<LogFrame> WorkerHarness::remaining_logs() {
  std::vector<LogFrame> out;
  while (auto frame = next_log(0)) out.push_back(std::move(*frame));
  return out;
}

v1::LaunchPlan python_plan(const std::string& code) {
  v1::LaunchPlan plan;
  plan.set_executable("/usr/bin/python3");
  for (const char* arg : {"python3", "-I", "-S", "-u", "-c"}) plan.add_argv(arg);
  plan.add_argv(code);
  plan.add_env("PATH=/usr/bin");
  plan.set_cwd("/");
  plan.set_uid(1000);
  plan.set_gid(1000);
  plan.set_open_files(256);
  return plan;
}

}  // namespace flodea::worker::testing
