#include "supervisor/root/kept_state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <set>

#include "base/safe_path.h"

namespace flodea::root {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr std::size_t kMaxBytes = 64u << 20;  // 4096 agents of at most a few KiB each

tl::unexpected<Error> unreadable(const std::string& why) {
  return fail(Code::kFailedPrecondition,
              "the state that is to be taken over cannot be read: " + why);
}

UniqueFd own(int number) { return UniqueFd(number == 0 ? -1 : number); }

InstanceDescriptors own_all(const v1::KeptInstance& kept) {
  const v1::KeptDescriptors& numbers = kept.descriptors();
  InstanceDescriptors out;
  if (numbers.worker() != 0) out.worker = PidFd(own(numbers.worker()), kept.reply().worker_pid());
  out.attach = {own(numbers.attach()), own(numbers.attach_worker())};
  out.log = {own(numbers.log_read()), own(numbers.log_write())};
  out.status_page = own(numbers.status_page());
  out.store = own(numbers.store());
  out.device = own(numbers.device());
  return out;
}

RunningService own_service(const v1::KeptService& kept) {
  return {.process = PidFd(own(kept.process()), kept.pid()),
          .socket = own(kept.socket()),
          .program = {.device = kept.device(),
                      .inode = kept.inode(),
                      .modified_ns = kept.modified_ns()},
          .restarts = kept.restarts()};
}

}  // namespace

Result<UniqueFd> write_kept_state(const v1::KeptState& state) {
  auto fd = TRY(
      adopt_fd(::memfd_create("flodead-state", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  TRY(write_all(fd.get(), state.SerializeAsString()));
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("seal the kept state");
  return fd;
}

Result<v1::KeptState> read_kept_state(int fd) {
  int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return unreadable("not a sealed memfd");
  struct stat info;
  if (::fstat(fd, &info) != 0) return fail_errno("stat the kept state");
  if (info.st_size > static_cast<off_t>(kMaxBytes)) return unreadable("too long");
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  if (::pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return unreadable("cut off");
  v1::KeptState state;
  if (!state.ParseFromString(bytes)) return unreadable("not a KeptState");
  if (state.version() == 0 || state.version() > kKeptStateVersion)
    return unreadable("it is of version " + std::to_string(state.version()) +
                      ", this flodead knows up to " + std::to_string(kKeptStateVersion));
  return state;
}

std::vector<int> kept_descriptors(const v1::KeptState& state) {
  std::vector<int> all{state.lock(), state.operators(), state.vault().process(),
                       state.vault().socket()};
  for (const v1::KeptInstance& instance : state.instances()) {
    const v1::KeptDescriptors& d = instance.descriptors();
    all.insert(all.end(), {d.worker(), d.attach(), d.attach_worker(), d.log_read(), d.log_write(),
                           d.status_page(), d.store(), d.device()});
  }
  std::erase(all, 0);
  return all;
}

Status set_close_on_exec(const v1::KeptState& state, bool close) {
  for (int fd : kept_descriptors(state)) {
    if (::fcntl(fd, F_SETFD, close ? FD_CLOEXEC : 0) != 0)
      return fail_errno("descriptor " + std::to_string(fd) + " of the kept state");
  }
  return {};
}

Result<EarlierLife> adopt_kept_state(v1::KeptState state) {
  std::set<int> once;
  for (int fd : kept_descriptors(state)) {
    if (fd <= STDERR_FILENO || !once.insert(fd).second)
      return unreadable("descriptor " + std::to_string(fd) + " is not one of it");
  }
  TRY(set_close_on_exec(state, true));
  EarlierLife life;
  life.reloaded = true;
  life.epoch = state.epoch();
  life.reloads = state.reloads() + 1;
  life.program = state.program();
  life.directory = state.directory();
  life.lock = own(state.lock());
  life.operators = own(state.operators());
  if (state.has_vault()) life.vault = own_service(state.vault());
  life.control_restarts = state.control_restarts();
  for (v1::KeptInstance& kept : *state.mutable_instances()) {
    auto descriptors = own_all(kept);
    life.instances.push_back({std::move(kept), std::move(descriptors)});
  }
  return life;
}

}  // namespace flodea::root
