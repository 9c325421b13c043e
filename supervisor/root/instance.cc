#include "supervisor/root/instance.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "base/fd_layout.h"
#include "base/mapped_status_page.h"
#include "base/safe_path.h"
#include "supervisor/root/group_end.h"

namespace flodea::root {
namespace {

constexpr int kLogPipeBytes = 256 * 1024;
constexpr Nanos kSetupDeadline = std::chrono::seconds(10);
constexpr std::size_t kReportLimit = 4096;

Error step_error(const std::string& step, int error) {
  auto text = fail_errno("sandbox: " + step, error).value();
  text.field = step;
  return text;
}

}  // namespace

Instance::Instance(InstanceContext& context, const v1::StartRequest& request)
    : context_(context), request_(request) {
  agent_ = *AgentId::parse(request.agent_id());  // checked by decode_request
  generation_ = {request.generation()};
  exit_.set_agent_id(agent_.text());
  exit_.set_generation(generation_.value);
}

std::vector<int> Instance::kept_fds() const {
  return {attach_.first.get(), log_.first.get(), status_page_.get(), volume_.store.get()};
}

void Instance::note(const std::vector<PhaseTime>& phases) {
  for (const PhaseTime& phase : phases) {
    auto* added = reply_.add_phases();
    added->set_name(phase.name);
    added->set_nanos(phase.nanos);
  }
}

void Instance::settle(std::vector<OneShot<bool>>& waiters) {
  for (OneShot<bool>& waiter : std::exchange(waiters, {})) waiter.set(true);
}

OneShot<bool> Instance::exited() {
  OneShot<bool> waiter(context_.loop);
  if (state_ == v1::INSTANCE_STATE_EXITED || state_ == v1::INSTANCE_STATE_RELEASING)
    waiter.set(true);
  else
    exit_waiters_.push_back(waiter);
  return waiter;
}

OneShot<bool> Instance::started() {
  OneShot<bool> waiter(context_.loop);
  if (state_ != v1::INSTANCE_STATE_STARTING)
    waiter.set(true);
  else
    start_waiters_.push_back(waiter);
  return waiter;
}

// ---- start

Async<void> Instance::start() {
  auto making = make();
  auto made = co_await making;
  if (!made) {
    auto undoing = undo();
    auto leftovers = co_await undoing;
    for (const std::string& left : *leftovers)
      spdlog::error("agent={} leftover=\"{}\"", agent_.text(), left);
    state_ = v1::INSTANCE_STATE_UNSPECIFIED;
  }
  settle(start_waiters_);
  if (!made) settle(exit_waiters_);
  co_return std::move(made);
}

Async<void> Instance::make() {
  auto range = context_.uids.take();
  if (!range) co_return tl::unexpected(std::move(range).error());
  range_ = *range;
  CO_CHECK(context_.journal.record(
      {.name = name(), .boot_id = context_.boot_id, .uid_range = range_->index, .kept = {}}));
  journalled_ = true;
  Nanos began = SystemClock().monotonic();
  CO_TRY(auto begun, context_.volumes.begin_open(agent_));
  auto own = make_own();  // while the vault and the helper are at work
  auto opening = context_.volumes.finish_open(agent_, std::move(begun));
  auto opened = co_await opening;
  note({{"volume and netns",
         static_cast<std::uint64_t>((SystemClock().monotonic() - began).count())}});
  if (!opened) co_return tl::unexpected(std::move(opened).error());
  volume_ = std::move(*opened);
  volume_open_ = true;
  for (const auto& [phase, nanos] : volume_.phases) note({{phase, nanos}});  // within the one above
  CO_CHECK(std::move(own));
  if (!kill_reason_.empty())
    co_return fail(Code::kAborted, "killed while starting: " + kill_reason_);
  auto launching = launch(volume_);
  co_return co_await launching;
}

// All that needs no volume.
Status Instance::make_own() {
  const v1::Limits& limits = request_.limits();
  group_ = TRY(context_.cgroups.make(name(), {.memory_bytes = limits.memory_bytes(),
                                              .cpu_millis = limits.cpu_millis(),
                                              .pids = limits.pids() + kWorkerTasks}));
  return make_kept();
}

Status Instance::make_kept() {
  attach_ = TRY(make_socketpair(SOCK_SEQPACKET));
  log_ = TRY(make_pipe(O_NONBLOCK));
  if (::fcntl(log_.second.get(), F_SETPIPE_SZ, kLogPipeBytes) < 0)
    return fail_errno("size the log pipe");
  status_page_ = TRY(make_status_page());
  oom_ = TRY(group_->watch_oom_v1());
  return {};
}

Result<Instance::Bundles> Instance::open_bundles() const {
  Bundles out;
  out.own = TRY_CONTEXT(open_beneath(context_.bundles, request_.bundle(), O_PATH | O_DIRECTORY),
                        "bundle");
  for (const std::string& layer : request_.layers())
    out.layers.push_back(
        TRY_CONTEXT(open_beneath(context_.bundles, layer, O_PATH | O_DIRECTORY), "layer " + layer));
  return out;
}

Result<SandboxRequest> Instance::sandbox_request(const OpenVolume& volume,
                                                 const Bundles& bundles) const {
  auto worker_filter = context_.filters.find("worker");
  auto agent_filter = context_.filters.find(request_.runtime());
  if (worker_filter == context_.filters.end() || agent_filter == context_.filters.end())
    return fail(Code::kNotFound, "no runtime \"" + request_.runtime() + "\" on this host");
  SandboxRequest out{.hostname = request_.hostname(),
                     .range = *range_,
                     .tmp_bytes = request_.limits().tmp_bytes(),
                     .open_files = request_.limits().open_files() + kWorkerOpenFiles,
                     .bundle = bundles.own.get(),
                     .layers = {},
                     .netns = volume.netns.get(),
                     .volume = volume.agent_tree.get(),
                     .group = &*group_};
  for (const UniqueFd& layer : bundles.layers) out.layers.push_back(layer.get());
  // In the order of fd_layout::worker.
  out.worker_fds = {attach_.second.get(),        attach_.first.get(),
                    log_.second.get(),           log_.first.get(),
                    status_page_.get(),          volume.store.get(),
                    worker_filter->second.get(), agent_filter->second.get()};
  return out;
}

// The report pipe ends when the worker is executed or its setup has failed.
OneShot<std::string> Instance::read_report(UniqueFd report) {
  struct Reading {
    UniqueFd fd;
    std::string bytes;
    OneShot<std::string> done;
    EventLoop::TimerId timer;
  };
  auto reading = std::make_shared<Reading>(
      Reading{std::move(report), "", OneShot<std::string>(context_.loop), 0});
  auto finish = [this, reading](Result<std::string> outcome) {
    context_.loop.cancel(reading->timer);
    context_.loop.unwatch(reading->fd.get());
    reading->done.set(std::move(outcome));
  };
  reading->timer = context_.loop.call_after(kSetupDeadline, [finish] {
    finish(fail(Code::kDeadlineExceeded, "the sandbox was not set up in time"));
  });
  auto watched = context_.loop.watch(reading->fd.get(), EPOLLIN, [reading, finish](std::uint32_t) {
    char buffer[1024];
    ssize_t n = ::read(reading->fd.get(), buffer, sizeof buffer);
    if (n > 0 && reading->bytes.size() < kReportLimit)
      reading->bytes.append(buffer, static_cast<std::size_t>(n));
    else
      finish(reading->bytes);
  });
  if (!watched) finish(tl::unexpected(std::move(watched).error()));
  return reading->done;
}

Async<void> Instance::launch(OpenVolume& volume) {
  CO_TRY(auto bundles, open_bundles());
  CO_TRY(auto request, sandbox_request(volume, bundles));
  CO_TRY(auto sandbox, launch_sandbox(context_.sandbox, request));
  std::int64_t go = sandbox.go_ns;
  // The sandbox holds these now: its mount namespace the tree, its processes the network namespace.
  volume.agent_tree.reset();
  volume.netns.reset();
  worker_ = std::move(sandbox.worker);
  note(sandbox.phases);
  auto report = read_report(std::move(sandbox.report));
  auto bytes = co_await report;
  SetupOutcome outcome = bytes ? read_setup_outcome(*bytes, go)
                               : SetupOutcome{.failed_step = "setup", .error = ETIMEDOUT};
  note(outcome.phases);
  if (!outcome.executed) co_return tl::unexpected(step_error(outcome.failed_step, outcome.error));
  co_return run(std::move(sandbox));
}

Status Instance::watch_worker() {
  TRY(context_.loop.watch(worker_.get(), EPOLLIN, [this](std::uint32_t) { on_worker_end(); }));
  if (!oom_) return {};
  return context_.loop.watch(oom_.get(), EPOLLIN, [this](std::uint32_t) {
    std::uint64_t count;
    if (::read(oom_.get(), &count, sizeof count) != sizeof count) return;
    exit_.set_oom_kills(1);
    [[maybe_unused]] auto killed = group_->kill();
  });
}

Status Instance::run(LaunchedSandbox) {
  TRY(watch_worker());
  reply_.set_worker_pid(worker_.pid());
  reply_.set_uid_base(range_->base);
  for (const CgroupPath& path : group_->paths()) {
    auto* dir = reply_.add_cgroups();
    dir->set_controller(std::string(controller_name(path.controller)));
    dir->set_path(path.path);
  }
  state_ = v1::INSTANCE_STATE_RUNNING;
  if (auto written = write_down(); !written) {
    state_ = v1::INSTANCE_STATE_STARTING;
    return written;
  }
  if (!kill_reason_.empty()) return group_->kill();
  return {};
}

// ---- end

void Instance::kill(const std::string& reason) {
  if (kill_reason_.empty()) kill_reason_ = reason.empty() ? "killed" : reason;
  if (state_ != v1::INSTANCE_STATE_RUNNING) return;  // `make` looks at the reason, or it has ended
  if (auto killed = group_->kill(); !killed)
    spdlog::error("agent={} error=\"{}\"", agent_.text(), killed.error().describe());
}

Status Instance::freeze(std::string_view state) {
  if (state_ != v1::INSTANCE_STATE_RUNNING)
    return fail(Code::kFailedPrecondition, "the agent does not run");
  return group_->freeze(state);
}

Status Instance::set_deadline(std::uint64_t boottime_ns) {
  if (!deadline_) {
    deadline_ = TRY(
        adopt_fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create"));
    TRY(context_.loop.watch(deadline_.get(), EPOLLIN, [this](std::uint32_t) {
      std::uint64_t count;
      if (::read(deadline_.get(), &count, sizeof count) == sizeof count) kill("deadline");
    }));
  }
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(boottime_ns / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(boottime_ns % 1'000'000'000);
  if (::timerfd_settime(deadline_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0)
    return fail_errno("set the deadline");
  deadline_boottime_ns_ = boottime_ns;
  return write_down();
}

void Instance::on_worker_end() {
  auto status = worker_.wait_no_hang();
  if (!status && status.error().code == Code::kUnavailable) return;
  context_.loop.unwatch(worker_.get());
  exit_.set_status_known(status.has_value());
  finish(status.value_or(ExitStatus{}));
}

// Resolved once no process is left in the group, or after a while: true if it is empty.
OneShot<bool> Instance::wait_empty() { return wait_group_empty(context_.loop, *group_); }

// Its group is empty a moment before it can be reaped.
OneShot<bool> Instance::wait_reaped() {
  OneShot<bool> reaped(context_.loop);
  int fd = worker_.get();
  auto timer = context_.loop.call_after(kEmptyDeadline, [this, fd, reaped]() mutable {
    context_.loop.unwatch(fd);
    reaped.set(false);
  });
  auto look = [this, fd, timer, reaped](std::uint32_t) mutable {
    auto status = worker_.wait_no_hang();
    if (!status && status.error().code == Code::kUnavailable) return;
    context_.loop.unwatch(fd);
    context_.loop.cancel(timer);
    reaped.set(true);
  };
  auto watched = context_.loop.watch(fd, EPOLLIN, std::move(look));
  if (!watched) reaped.set(false);
  return reaped;
}

Detached Instance::finish(ExitStatus status) {
  ending_ = true;
  [[maybe_unused]] auto killed = group_->kill();
  auto waiting = wait_empty();
  auto empty = co_await waiting;
  if (!empty.value_or(false))
    spdlog::error("agent={} leftover=\"processes of its group\"", agent_.text());
  auto reader = CgroupReader::open(group_->paths());
  if (reader) {
    CgroupUsage usage = reader->read().value_or(CgroupUsage{});
    exit_.set_oom_kills(std::max(usage.oom_kills, exit_.oom_kills()));
    exit_.set_memory_peak(usage.memory_peak);
    exit_.set_cpu_nanos(usage.cpu_nanos);
  }
  exit_.set_signaled(status.signaled);
  exit_.set_value(status.value);
  exit_.set_killed_by(kill_reason_);
  state_ = v1::INSTANCE_STATE_EXITED;
  if (deadline_) context_.loop.unwatch(deadline_.get());
  if (oom_) context_.loop.unwatch(oom_.get());
  deadline_.reset();
  oom_.reset();
  ending_ = false;
  if (auto written = write_down(); !written)
    spdlog::error("agent={} error=\"{}\"", agent_.text(), written.error().describe());
  context_.on_exit(exit_);
  settle(exit_waiters_);
}

// ---- undo

Async<std::vector<std::string>> Instance::release() {
  state_ = v1::INSTANCE_STATE_RELEASING;
  auto undoing = undo();
  co_return co_await undoing;
}

Async<std::vector<std::string>> Instance::undo() {
  std::vector<std::string> leftovers;
  auto note_failure = [&leftovers](const Status& status) {
    if (!status) leftovers.push_back(status.error().message);
  };
  if (worker_.valid()) context_.loop.unwatch(worker_.get());
  if (oom_) context_.loop.unwatch(oom_.get());
  if (deadline_) context_.loop.unwatch(deadline_.get());
  if (worker_.valid() && group_ &&
      state_ == v1::INSTANCE_STATE_STARTING) {  // a setup that failed: its child ends or is killed
    [[maybe_unused]] auto killed = group_->kill();
    auto waiting = wait_empty();
    [[maybe_unused]] auto empty = co_await waiting;
    auto ending = wait_reaped();
    [[maybe_unused]] auto reaped = co_await ending;
  }
  worker_ = PidFd();
  oom_.reset();
  attach_ = FdPair();
  log_ = FdPair();
  status_page_.reset();
  if (volume_open_) {
    auto closing = context_.volumes.close(agent_, std::move(volume_));
    auto closed = co_await closing;
    if (closed) leftovers.insert(leftovers.end(), closed->begin(), closed->end());
    volume_open_ = false;
  }
  if (group_) note_failure(context_.cgroups.remove(name()));
  group_.reset();
  if (range_ && leftovers.empty())
    note_failure(context_.uids.give(*range_));  // with processes left, nobody else may have it
  range_.reset();
  if (journalled_ && leftovers.empty()) note_failure(context_.journal.erase(name()));
  co_return std::move(leftovers);
}

}  // namespace flodea::root
