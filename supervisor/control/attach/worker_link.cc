#include "supervisor/control/attach/worker_link.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.h"
#include "flodea/attach/v1/attach.pb.h"

namespace flodea::control {
namespace {

namespace pb = attach::v1;

constexpr std::uint32_t kMaxLineBytes = 1 << 20;
constexpr std::uint32_t kMaxOpenCalls = 64;
constexpr std::size_t kMaxUnsent =
    16;  // a worker that reads nothing is stopped by flodead, not by more messages
constexpr std::size_t kMaxNames = 64;  // of one Denied
constexpr std::size_t kMaxText = 256;
// What a worker may call a step of its start. The names become labels of metrics, which all agents
// share.
constexpr std::array<std::string_view, 3> kPhases = {"attach", "fork", "exec"};
constexpr Nanos kRest = std::chrono::milliseconds(200);

pb::ToWorker message_of(Epoch epoch) {
  pb::ToWorker message;
  message.set_protocol(WorkerLink::kProtocol);
  message.set_epoch(epoch.value);
  return message;
}

// Until it first succeeds, at most so far apart: what waits for it is not to wait for long.
constexpr Nanos kFirstEvery = std::chrono::seconds(1);

void add_probe(pb::LaunchPlan& out, pb::ProbeKind kind, const std::optional<ExecProbe>& probe) {
  if (!probe) return;
  pb::Probe& added = *out.add_probes();
  added.set_kind(kind);
  for (const std::string& word : probe->command) added.add_command(word);
  added.set_every_ns(static_cast<std::uint64_t>(probe->every.count()));
  added.set_timeout_ns(static_cast<std::uint64_t>(probe->timeout.count()));
  added.set_first_every_ns(static_cast<std::uint64_t>(std::min(probe->every, kFirstEvery).count()));
}

// Of a kind that only a later worker knows nothing follows.
std::optional<ProbeKind> kind_of(pb::ProbeKind kind) {
  if (kind < pb::PROBE_KIND_STARTUP || kind > pb::PROBE_KIND_LIVENESS) return std::nullopt;
  return static_cast<ProbeKind>(static_cast<std::uint32_t>(kind) - 1);
}

void fill(pb::LaunchPlan& out, const LaunchOrder& order) {
  out.set_executable(order.plan.executable);
  for (const std::string& arg : order.plan.argv) out.add_argv(arg);
  for (const std::string& pair : order.plan.env) out.add_env(pair);
  out.set_cwd(order.plan.cwd);
  out.set_uid(order.plan.uid);
  out.set_gid(order.plan.gid);
  out.set_open_files(order.open_files);
  out.set_drop_logs(order.drop_logs);
  out.set_pids(order.pids);
  add_probe(out, pb::PROBE_KIND_STARTUP, order.startup);
  add_probe(out, pb::PROBE_KIND_READINESS, order.readiness);
  add_probe(out, pb::PROBE_KIND_LIVENESS, order.liveness);
}

// A worker's text on its way to logs, events and operators. A quotation mark would end a value of a
// log line.
std::string text_of(const std::string& worker) {
  std::string text = clean_line(worker, kMaxText);
  std::ranges::replace(text, '"', '\'');
  return text;
}

// Each known phase once; what else it names is left out.
std::vector<PhaseTime> phases_of(const pb::Started& started) {
  std::vector<PhaseTime> phases;
  for (std::string_view name : kPhases) {
    auto said = std::find_if(started.phases().begin(), started.phases().end(),
                             [name](const pb::Phase& phase) { return phase.name() == name; });
    if (said == started.phases().end()) continue;
    auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    phases.push_back(
        {std::string(name), Nanos(static_cast<std::int64_t>(std::min(said->nanos(), most)))});
  }
  return phases;
}

}  // namespace

Result<std::unique_ptr<WorkerLink>> WorkerLink::create(EventLoop& loop, UniqueFd socket,
                                                       Epoch epoch, WorkerEvents& events,
                                                       CallMarks::Row mark) {
  int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("attach socket");
  int raw = socket.get();
  std::unique_ptr<WorkerLink> client(
      new WorkerLink(loop, std::move(socket), epoch, events, std::move(mark)));
  TRY(loop.watch(raw, EPOLLIN, [self = client.get()](std::uint32_t bits) { self->turn(bits); }));
  return client;
}

WorkerLink::WorkerLink(EventLoop& loop, UniqueFd socket, Epoch epoch, WorkerEvents& events,
                       CallMarks::Row mark)
    : loop_(loop),
      socket_(std::move(socket)),
      epoch_(epoch),
      events_(events),
      mark_(std::make_shared<CallMarks::Row>(std::move(mark))) {
  counted_at_ = clock_.monotonic();
}

WorkerLink::~WorkerLink() {
  loop_.unwatch(socket_.get());
  if (resting_ != 0) loop_.cancel(resting_);
}

void WorkerLink::attach(const LaunchOrder& order, UniqueFd calls) {
  pb::ToWorker message = message_of(epoch_);
  pb::Attach& attach = *message.mutable_attach();
  fill(*attach.mutable_launch(), order);
  attach.set_max_line_bytes(kMaxLineBytes);
  attach.set_max_open_calls(kMaxOpenCalls);
  FdMessage out{.bytes = message.SerializeAsString(), .fds = {}};
  out.fds.push_back(std::move(calls));
  send(std::move(out));
}

void WorkerLink::stop(Nanos grace, const std::string& reason) {
  pb::ToWorker message = message_of(epoch_);
  message.mutable_stop()->set_grace_ns(static_cast<std::uint64_t>(grace.count()));
  message.mutable_stop()->set_reason(reason);
  send({.bytes = message.SerializeAsString(), .fds = {}});
}

void WorkerLink::set_deadline(Nanos boot) {
  pb::ToWorker message = message_of(epoch_);
  message.mutable_set_deadline()->set_boottime_ns(static_cast<std::uint64_t>(boot.count()));
  send({.bytes = message.SerializeAsString(), .fds = {}});
}

void WorkerLink::send(FdMessage message) {
  if (closed_) return;
  if (unsent_.size() >= kMaxUnsent) unsent_.pop_front();
  unsent_.push_back(std::move(message));
  flush();
}

void WorkerLink::flush() {
  while (!unsent_.empty()) {
    std::vector<int> fds;
    for (const UniqueFd& fd : unsent_.front().fds) fds.push_back(fd.get());
    Status sent = send_fd_message(socket_.get(), unsent_.front().bytes, fds);
    if (!sent && sent.error().sys_errno == EAGAIN) break;
    unsent_.pop_front();  // a worker that is gone hears nothing more; flodead reports its end
  }
  listen();
}

void WorkerLink::listen() {
  if (closed_) return;
  std::uint32_t events = resting_ == 0 ? std::uint32_t{EPOLLIN} : 0;
  if (!unsent_.empty()) events |= EPOLLOUT;
  (void)loop_.change(socket_.get(), events);
}

void WorkerLink::turn(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (!within_rate()) return rest();
  auto message = receive_fd_message(socket_.get());
  if (message) {
    auto mark = mark_;
    mark->set(CallMarks::Row::kAtIt);
    take(message->bytes);
    return mark->set({});
  }
  if (message.error().sys_errno == EAGAIN) return;
  if (message.error().code == Code::kInvalidArgument) return void(++ignored_);
  closed_ = true;  // the worker is gone, or closed its end
  loop_.unwatch(socket_.get());
}

bool WorkerLink::within_rate() {
  Nanos now = clock_.monotonic();
  double passed = std::chrono::duration<double>(now - counted_at_).count();
  counted_at_ = now;
  allowance_ = std::min(kMessageBurst, allowance_ + passed * kMessagesPerSecond);
  if (allowance_ < 1) return false;
  allowance_ -= 1;
  return true;
}

// The worker says too much: its socket fills, and it waits.
void WorkerLink::rest() {
  resting_ = loop_.call_after(kRest, [this] {
    resting_ = 0;
    listen();
  });
  listen();
}

void WorkerLink::take(const std::string& bytes) {
  pb::FromWorker message;
  if (!message.ParseFromString(bytes) || message.epoch() != epoch_.value) return void(++ignored_);
  switch (message.message_case()) {
    case pb::FromWorker::kHello: {
      const pb::Hello& hello = message.hello();
      return events_.on_hello({.version = text_of(hello.version()),
                               .min_protocol = hello.min_protocol(),
                               .max_protocol = hello.max_protocol(),
                               .agent_running = hello.agent_running()});
    }
    case pb::FromWorker::kStarted: {
      return events_.on_started(
          Nanos(static_cast<std::int64_t>(message.started().exec_boottime_ns())),
          phases_of(message.started()));
    }
    case pb::FromWorker::kRefused:
      return events_.on_refused(text_of(message.refused().why()));
    case pb::FromWorker::kDenied: {
      std::vector<DeniedSyscall> calls;
      for (const auto& call : message.denied().calls()) {
        if (calls.size() == kMaxNames) break;
        calls.push_back({text_of(call.name()), call.count()});
      }
      return events_.on_denied(calls);
    }
    case pb::FromWorker::kProbeResult: {
      auto kind = kind_of(message.probe_result().kind());
      if (!kind) return void(++ignored_);
      return events_.on_probe_result(*kind, text_of(message.probe_result().output()));
    }
    case pb::FromWorker::kProbeSlow: {
      auto kind = kind_of(message.probe_slow().kind());
      return kind ? events_.on_probe_slow(*kind) : void(++ignored_);
    }
    case pb::FromWorker::kExited:
      return;  // the status page says it for certain
    case pb::FromWorker::MESSAGE_NOT_SET:
      ++ignored_;
  }
}

}  // namespace flodea::control
