#include "supervisor/root/service.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

namespace flodea::root {
namespace {

std::string how(const ExitStatus& status) {
  return (status.signaled ? "signal " : "exit status ") + std::to_string(status.value);
}

}  // namespace

Status Service::start() {
  auto life = TRY(callbacks_.prepare());
  ProgramSpec spec{.executable = executable_.get(),
                   .argv = {row_.name},
                   .identity = row_.identity,
                   .ambient = row_.ambient,
                   .parent_death_signal = row_.parent_death_signal,
                   .cgroup = cgroup_};
  spec.argv.insert(spec.argv.end(), life.arguments.begin(), life.arguments.end());
  for (const auto& [fd, number] : life.fds) spec.fds.emplace_back(fd.get(), number);
  program_ = TRY(program_id(executable_.get()));
  auto process = TRY(spawn_program(spec));
  TRY(follow(std::move(process)));
  spdlog::info("service={} pid={} state=up", row_.name, process_.pid());
  callbacks_.changed("started");
  return {};
}

Status Service::adopt(PidFd process, const ProgramId& program) {
  program_ = program;
  TRY(follow(std::move(process)));
  spdlog::info("service={} pid={} state=kept", row_.name, process_.pid());
  return {};
}

Status Service::follow(PidFd process) {
  process_ = std::move(process);
  started_ = clock_.monotonic();
  return loop_.watch(process_.get(), EPOLLIN, [this](std::uint32_t) { on_end(); });
}

bool Service::outdated() const {
  auto on_disk = program_id(executable_.get());
  return running() && on_disk && *on_disk != program_;
}

void Service::signal(int number) const {
  if (process_.valid()) [[maybe_unused]]
    auto sent = process_.send_signal(number);
}

void Service::stay_down() { stay_down_ = true; }

void Service::on_end() {
  auto status = process_.wait_no_hang();
  if (!status && status.error().code == Code::kUnavailable) return;
  loop_.unwatch(process_.get());
  process_ = PidFd();
  ExitStatus ended = status.value_or(ExitStatus{.signaled = true, .value = 0});
  spdlog::warn("service={} state=down why=\"{}\"", row_.name, how(ended));
  callbacks_.changed(how(ended).c_str());
  if (callbacks_.ended(ended) == After::kStay || stay_down_) return;
  auto decision = history_.ended(started_, clock_.monotonic());
  if (decision.crash_loop)
    spdlog::error("service={} state=crash-loop restarts={}", row_.name, history_.total());
  start_after(decision.delay);
}

void Service::start_again() { start_after(Nanos{}); }

void Service::start_after(Nanos delay) {
  loop_.call_after(delay, [this] {
    if (stay_down_ || running()) return;
    auto started = start();
    if (started) return;
    spdlog::error("service={} error=\"{}\"", row_.name, started.error().describe());
    start_after(history_.ended(clock_.monotonic(), clock_.monotonic()).delay);
  });
}

}  // namespace flodea::root
