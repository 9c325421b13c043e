#include "worker/worker.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd_layout.h"
#include "policy/restrict_self.h"
#include "policy/seccomp_profile.h"

namespace flodea::worker {
namespace fds = fd_layout::worker;

Result<std::unique_ptr<Worker>> Worker::create(StatusPageWriter page, SeccompFilter agent_filter,
                                               SeccompFilter own_filter) {
  auto loop = TRY(EventLoop::create());
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  auto children = TRY(adopt_fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
  auto deadline =
      TRY(adopt_fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create"));
  if (agent_filter.reports() && !kernel_reports_refused_calls())
    agent_filter.refuse_instead_of_reporting();
  std::unique_ptr<Worker> worker(new Worker(std::move(loop), std::move(page),
                                            std::move(agent_filter), std::move(own_filter),
                                            std::move(children), std::move(deadline)));
  TRY(worker->start());
  return worker;
}

Worker::Worker(std::unique_ptr<EventLoop> loop, StatusPageWriter page, SeccompFilter agent_filter,
               SeccompFilter own_filter, UniqueFd children, UniqueFd deadline)
    : loop_(std::move(loop)),
      page_(std::move(page)),
      agent_filter_(std::move(agent_filter)),
      own_filter_(std::move(own_filter)),
      domain_(LandlockDomain::create(landlock::agent_policy(offered_landlock_abi()))),
      children_(std::move(children)),
      deadline_(std::move(deadline)),
      attach_(*loop_, fds::kAttach, *this),
      logs_(*loop_, fds::kLogWrite, page_, clock_),
      refused_(*loop_, page_),
      channels_(*loop_),
      calls_(*loop_, channels_, page_, clock_),
      probes_(*loop_, page_, clock_, *this),
      begun_(clock_.boot()) {}

Status Worker::start() {
  if (domain_) page_.set_landlock_abi(domain_->abi());
  TRY(loop_->watch(children_.get(), EPOLLIN, [this](std::uint32_t) { reap(); }));
  TRY(loop_->watch(deadline_.get(), EPOLLIN, [this](std::uint32_t) {
    loop_->unwatch(deadline_.get());
    logs_.say("killed: its deadline has passed");
    end_now(SIGKILL);
  }));
  TRY(attach_.start());
  beat();
  return {};
}

Status Worker::run() { return loop_->run(); }

void Worker::beat() {
  page_.beat(clock_.boot());
  say_denied();
  loop_->call_after(kHeartbeat, [this] { beat(); });
}

void Worker::say_denied() {
  if (refused_.unreported().empty()) return;
  std::map<std::string, std::uint64_t> by_name;
  for (const auto& [number, count] : refused_.unreported())
    by_name[syscall_name(static_cast<int>(number))] += count;
  if (attach_.say_denied(by_name)) refused_.reported();
}

// --- what control asks for ---

// The interpreter first: gRPC starts while the agent's first pages are read.
void Worker::on_attach(AttachOffer offer) {
  if (finishing_) return;
  if (state_ == State::kIdle) {
    page_.set_phase(WorkerPhase::kAttached);
    attached_ = clock_.boot();
    if (offer.plan) launch(*offer.plan, offer.limits);
  }
  attach_.say_hello(state_ == State::kRunning || state_ == State::kLaunching, started_);
  auto attached = calls_.attach(std::move(offer.socket));
  if (!attached) attach_.refuse(attached.error().describe());
}

void Worker::on_stop(Nanos grace, std::string_view reason) {
  page_.set_stop_requested(clock_.wall());
  if (state_ == State::kEnded) return;
  if (state_ == State::kIdle) return end_now(SIGTERM);
  if (!kill_at_) {
    logs_.say("stopping: " + std::string(reason.empty() ? "requested" : reason.substr(0, 256)));
    [[maybe_unused]] auto sent =
        agent_.send_signal(SIGTERM);  // gone already: its end is on the way to us
  }
  probes_.end();
  page_.set_phase(WorkerPhase::kStopping);
  Nanos at = clock_.monotonic() + std::min(grace, Nanos(std::chrono::hours(24)));
  if (kill_at_ && *kill_at_ <= at) return;
  kill_at_ = at;
  loop_->cancel(kill_timer_);
  kill_timer_ = loop_->call_after(at - clock_.monotonic(), [this] { kill_all(); });
}

// An agent that never ran has ended by the signal that it would have got.
void Worker::end_now(int signal) {
  kill_all();
  if (state_ != State::kIdle) return;
  state_ = State::kEnded;
  exit_signaled_ = true;
  exit_value_ = signal;
  page_.record_exit(ExitKind::kSignaled, static_cast<std::uint32_t>(signal), clock_.wall());
  finish();
}

void Worker::on_set_deadline(Nanos boot) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(boot.count() / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(boot.count() % 1'000'000'000);
  if (::timerfd_settime(deadline_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0)
    attach_.refuse("the deadline cannot be set");
}

// --- the agent's start ---

void Worker::launch(const LaunchPlan& plan, CallLimits limits) {
  state_ = State::kLaunching;
  executable_ = plan.executable;
  if (!domain_) return launch_failed(domain_.error());
  auto launched = launch_agent(plan, *domain_, agent_filter_);
  // It allows neither fork nor execve, so the agent must have been launched.
  if (auto restricted = restrict_system_calls(own_filter_.code()); !restricted)
    return restriction_failed(restricted.error());
  if (!launched) return launch_failed(launched.error());
  forked_ = clock_.boot();
  auto adopted = adopt(std::move(*launched), plan, limits);
  if (!adopted) {
    logs_.say("the agent is ended: " + adopted.error().describe());
    kill_all();
  }
}

// An unrestricted worker must not meet an agent.
void Worker::restriction_failed(const Error& error) {
  kill_all();
  launch_failed(error);
}

Status Worker::adopt(Launched launched, const LaunchPlan& plan, CallLimits limits) {
  agent_ = std::move(launched.process);
  report_ = std::move(launched.report);
  if (launched.listener) TRY(refused_.expect_listener(std::move(launched.listener)));
  TRY(loop_->watch(report_.get(), EPOLLIN, [this](std::uint32_t) { read_reports(); }));
  TRY(logs_.start(std::move(launched.stdout_pipe), std::move(launched.stderr_pipe),
                  plan.drop_logs ? WhenFull::kDrop : WhenFull::kBlock));
  if (launched.prober) TRY(probes_.start(std::move(launched.prober), plan.probes));
  return calls_.start(std::move(launched.calls), limits);
}

void Worker::launch_failed(const Error& error) {
  exec_error_ = error.describe();
  exit_value_ = 127;
  state_ = State::kEnded;
  page_.record_exit(ExitKind::kExecFailed, static_cast<std::uint32_t>(error.sys_errno),
                    clock_.wall());
  logs_.say("the agent could not be started: " + exec_error_);
  loop_->post([this] { finish(); });  // after the Hello
}

void Worker::read_reports() {
  LaunchReport report;
  ssize_t n = 0;
  while (report_ && (n = ::read(report_.get(), &report, sizeof report)) == sizeof report)
    last_report_ = report;
  if (!report_ || n != 0) return;
  loop_->unwatch(report_.get());  // end of file: execve has closed it, or the child's end
  report_.reset();
  if (state_ == State::kLaunching && last_report_ && last_report_->error == 0)
    agent_started(Nanos(last_report_->boot_ns));
}

void Worker::agent_started(Nanos exec_boot) {
  state_ = State::kRunning;
  started_ = exec_boot;
  page_.set_started(exec_boot);
  page_.set_phase(kill_at_ ? WorkerPhase::kStopping : WorkerPhase::kRunning);
  attach_.say_started(exec_boot, {{"attach", attached_ - begun_},
                                  {"fork", forked_ - attached_},
                                  {"exec", std::max(exec_boot - forked_, Nanos(0))}});
  probes_.begin();
}

// --- its health ---

void Worker::on_probe_result(ProbeKind kind, std::string_view output) {
  attach_.say_probe_result(kind, output);
}
void Worker::on_probe_slow(ProbeKind kind) { attach_.say_probe_slow(kind); }

// --- the agent's end ---

// Every child of the PID namespace ends up here: the agent's own and the orphans it leaves.
void Worker::reap() {
  signalfd_siginfo info;
  while (::read(children_.get(), &info, sizeof info) == sizeof info) continue;
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid == 0) break;
    if (pid < 0 && errno == ECHILD) return children_gone();
    if (pid > 0 && pid == agent_.pid()) agent_ended(status);
  }
  if (state_ == State::kEnded) kill_all();  // what was born while the others were killed
}

void Worker::agent_ended(int wait_status) {
  read_reports();
  probes_.end();
  state_ = State::kEnded;
  exit_signaled_ = WIFSIGNALED(wait_status);
  exit_value_ = exit_signaled_ ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  if (last_report_ && last_report_->error != 0) {
    exec_error_ = std::string(step_name(last_report_->step)) + " " + executable_ + ": " +
                  ::strerror(last_report_->error);
    page_.record_exit(ExitKind::kExecFailed, static_cast<std::uint32_t>(last_report_->error),
                      clock_.wall());
    logs_.say("the agent could not be started: " + exec_error_);
  } else {
    page_.record_exit(exit_signaled_ ? ExitKind::kSignaled : ExitKind::kExited,
                      static_cast<std::uint32_t>(exit_value_), clock_.wall());
  }
  kill_all();
}

// As PID 1 this reaches every other process of the namespace and no more; main.cc has made sure of
// it.
void Worker::kill_all() { ::kill(-1, SIGKILL); }

// All writers are dead, so both pipes end, and what they hold is the last of the log.
void Worker::children_gone() {
  if (state_ != State::kEnded) return;
  logs_.when_finished([this] { finish(); });
  if (!finishing_) loop_->call_after(kFlushLimit, [this] { finish(); });
}

void Worker::finish() {
  if (std::exchange(finishing_, true)) return;
  say_denied();
  page_.set_phase(WorkerPhase::kExited);
  attach_.say_exited(exit_signaled_, exit_value_, exec_error_);
  loop_->stop();
}

}  // namespace flodea::worker
