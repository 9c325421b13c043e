#include "supervisor/root/jobs.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include "base/safe_path.h"
#include "supervisor/root/group_end.h"

namespace flodea::root {
namespace {

// The program itself and the helper that makes its sandbox; threads count.
constexpr std::uint32_t kTasks = 64;
// No user namespace: the first id of the range after those that its owners use by name.
constexpr std::uint32_t kJobUid = 1000;

helper::v1::Request helper_request(const v1::RunJobRequest& job, UidRange range) {
  helper::v1::Request request;
  auto* run = request.mutable_run_job();
  run->set_name(job.program());
  *run->mutable_arguments() = job.arguments();
  run->set_input(job.input());
  run->set_uid(range.base + kJobUid);
  run->set_output_bytes(job.output_bytes());
  return request;
}

}  // namespace

// What exists for a job under way, undone in reverse.
struct Jobs::Held {
  std::string name;
  std::optional<UidRange> range;
  bool journalled = false;
  std::optional<Cgroup> group;
};

Jobs::Jobs(JobContext context) : context_(std::move(context)) {}

OneShot<bool> Jobs::turn() {
  OneShot<bool> mine(context_.loop);
  waiting_.push_back(mine);
  if (waiting_.size() == 1) mine.set(true);
  return mine;
}

void Jobs::pass_on() {
  waiting_.pop_front();
  if (!waiting_.empty()) waiting_.front().set(true);
}

Async<JobResult> Jobs::run(v1::RunJobRequest request, std::function<Status(std::uint64_t)> admit) {
  auto waiting = turn();
  [[maybe_unused]] auto mine = co_await waiting;
  if (auto admitted = admit(request.memory_bytes()); !admitted) {
    pass_on();
    co_return tl::unexpected(std::move(admitted).error());
  }
  memory_bytes_ = request.memory_bytes();
  Held held{.name = "job-" + std::to_string(++count_), .range = {}, .group = {}};
  auto running = run_alone(request, held);
  auto result = co_await running;
  auto undoing = undo(held);
  [[maybe_unused]] auto undone = co_await undoing;
  memory_bytes_ = 0;
  pass_on();
  co_return std::move(result);
}

Async<void> Jobs::end() {
  if (running_ != nullptr) CO_CHECK(running_->kill());
  auto waiting = turn();
  [[maybe_unused]] auto mine = co_await waiting;
  pass_on();
  co_return Status{};
}

Async<JobResult> Jobs::run_alone(const v1::RunJobRequest& request, Held& held) {
  auto program = context_.programs.find(request.program());
  auto filter = context_.filters.find(request.program());
  if (program == context_.programs.end() || filter == context_.filters.end())
    co_return fail(Code::kNotFound, "this build has no program \"" + request.program() + "\"");
  auto bundle = open_beneath(context_.bundles, request.bundle() + "/app", O_PATH | O_DIRECTORY);
  if (!bundle) co_return tl::unexpected(std::move(bundle).error().with_context("bundle"));
  CO_TRY(held.range, context_.uids.take());
  CO_CHECK(context_.journal.record({.name = held.name,
                                    .boot_id = context_.boot_id,
                                    .uid_range = held.range->index,
                                    .kept = {}}));
  held.journalled = true;
  CO_TRY(held.group, context_.cgroups.make(held.name, {.memory_bytes = request.memory_bytes(),
                                                       .cpu_millis = context_.cpu_millis,
                                                       .pids = kTasks}));
  running_ = &*held.group;
  const int fds[] = {program->second.get(), filter->second.get(), bundle->get()};
  auto asking =
      context_.helpers.run_in(*held.group, "run-job", helper_request(request, *held.range), fds,
                              std::chrono::seconds(request.seconds()));
  auto answer = co_await asking;
  JobResult result;
  if (auto reader = CgroupReader::open(held.group->paths())) {
    CgroupUsage usage = reader->read().value_or(CgroupUsage{});
    result.reply.set_oom_kills(usage.oom_kills);
    result.reply.set_memory_peak(usage.memory_peak);
    result.reply.set_cpu_nanos(usage.cpu_nanos);
  }
  if (!answer && result.reply.oom_kills() == 0) co_return tl::unexpected(std::move(answer).error());
  if (!answer) {  // the kernel killed the helper with it
    result.reply.set_signaled(true);
    result.reply.set_value(SIGKILL);
    co_return std::move(result);
  }
  result.reply.set_signaled(answer->reply.run_job().signaled());
  result.reply.set_value(answer->reply.run_job().value());
  result.fds = std::move(answer->fds);
  co_return std::move(result);
}

Async<void> Jobs::undo(Held& held) {
  Status undone;
  auto note = [&undone](Status status) {
    if (undone) undone = std::move(status);
  };
  running_ = nullptr;
  if (held.group) {
    note(held.group->kill());
    auto emptying = wait_group_empty(context_.loop, *held.group);
    auto empty = co_await emptying;
    if (!empty.value_or(false)) note(fail(Code::kDeadlineExceeded, "its processes do not end"));
    held.group.reset();
    note(context_.cgroups.remove(held.name));
  }
  if (held.range && undone) note(context_.uids.give(*held.range));
  if (held.journalled && undone) note(context_.journal.erase(held.name));
  if (!undone) spdlog::error("job={} leftover=\"{}\"", held.name, undone.error().describe());
  co_return Status{};
}

}  // namespace flodea::root
