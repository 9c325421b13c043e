#include "supervisor/root/boot.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include "base/safe_path.h"
#include "policy/profiled_runtimes.h"
#include "supervisor/root/group_end.h"
#include "supervisor/root/jobs.h"

namespace flodea::root {
namespace {

constexpr Nanos kHelperDeadline = std::chrono::seconds(30);

constexpr const char* kWorkerProfile = "worker";

Status kill_and_wait(const Cgroup& group, const std::string& name) {
  TRY(group.kill());
  SystemClock clock;
  Nanos end = clock.monotonic() + kEmptyDeadline;
  while (TRY(group.populated())) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(end - clock.monotonic()).count();
    if (left <= 0)
      return fail(Code::kDeadlineExceeded, "processes of group " + name + " do not end");
    pollfd change{.fd = group.events_fd(), .events = POLLPRI, .revents = 0};
    if (::poll(&change, 1, static_cast<int>(left)) < 0 && errno != EINTR)
      return fail_errno("poll cgroup.events");
  }
  return {};
}

Status end_group(const CgroupTree& cgroups, const std::string& name) {
  auto group = cgroups.open(name);
  if (group) {
    TRY(kill_and_wait(*group, name));
    spdlog::info("earlier-life group={} state=ended", name);
  }
  return cgroups.remove(name);  // also when it was made in some hierarchies only
}

Async<void> compile_filters(Helpers& helpers, int programs_dir, std::vector<std::string> names,
                            std::map<std::string, UniqueFd>& filters) {
  CO_TRY(auto profiles, open_beneath(programs_dir, "policy/profiles", O_RDONLY | O_DIRECTORY));
  helper::v1::Request request;
  for (const std::string& name : names) request.mutable_compile_profiles()->add_names(name);
  int fd = profiles.get();
  auto compiling = helpers.run("compile-profiles", request, std::span(&fd, 1), kHelperDeadline);
  CO_TRY(auto compiled, co_await compiling);
  if (compiled.fds.size() != names.size())
    co_return fail(Code::kInternal, "flodea-helper compiled too few profiles");
  for (std::size_t i = 0; i < names.size(); ++i) {
    spdlog::info("profile={} instructions={}", names[i],
                 compiled.reply.compile_profiles().instructions(static_cast<int>(i)));
    filters[names[i]] = std::move(compiled.fds[i]);
  }
  co_return Status{};
}

// Where the host has what a sandbox shows at this path.
std::string path_on_host(std::string_view path, const ProgramsDir& programs) {
  if (!path.starts_with(kAgentTree)) return std::string(path);
  return programs.path + "/agent/" + std::string(path.substr(kAgentTree.size()));
}

}  // namespace

Status undo_earlier_life(const CgroupTree& cgroups, UidRanges& uids, const Journal& journal,
                         const std::string& boot_id, const std::set<std::string>& taken_over) {
  auto entries = TRY(journal.entries());
  for (const std::string& name : TRY(cgroups.names())) {
    if (name != kServicesGroup && !taken_over.contains(name))
      TRY_CONTEXT(end_group(cgroups, name), "an earlier life's agent");
  }
  for (const JournalEntry& entry : entries) {
    if (taken_over.contains(entry.name)) continue;
    if (entry.boot_id == boot_id)
      TRY(uids.give_back(entry.uid_range));  // of another boot: that table is cleared
    TRY(journal.erase(entry.name));
  }
  TRY_CONTEXT(end_group(cgroups, kServicesGroup), "an earlier life's services");
  return {};
}

Async<void> discover(Helpers& helpers, const ProgramsDir& programs,
                     std::map<std::string, UniqueFd>& filters, v1::Host& host) {
  helper::v1::Request request;
  for (const ProfiledRuntime& runtime : kProfiledRuntimes)
    request.mutable_probe_runtimes()->add_executables(path_on_host(runtime.executable, programs));
  std::span<const int> no_fds;
  auto probing = helpers.run("probe-runtimes", request, no_fds, kHelperDeadline);
  std::vector<std::string> profiles{kWorkerProfile};
  auto probed = co_await probing;
  if (!probed) co_return tl::unexpected(std::move(probed).error());
  for (int i = 0; i < probed->reply.probe_runtimes().versions_size(); ++i) {
    const std::string& version = probed->reply.probe_runtimes().versions(i);
    if (version.empty()) continue;
    std::string name(kProfiledRuntimes[i].name);
    (*host.mutable_runtimes())[name] = version;
    profiles.push_back(std::move(name));
  }
  for (const JobProgram& job : kJobPrograms) {
    if (::faccessat(programs.fd, job.executable, X_OK, 0) == 0) profiles.push_back(job.name);
  }
  auto compiling = compile_filters(helpers, programs.fd, profiles, filters);
  co_return co_await compiling;
}

}  // namespace flodea::root
