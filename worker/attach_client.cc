#include "worker/attach_client.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/fd_message.h"
#include "flodea/attach/v1/attach.pb.h"

namespace flodea::worker {
namespace v1 = flodea::attach::v1;
namespace {

constexpr std::size_t kMaxWaiting = 16;
constexpr std::uint32_t kMinLine = 4096, kMaxLine = 16 << 20;
constexpr std::uint32_t kMaxCalls = 1024;
constexpr std::uint64_t kMaxNanos = INT64_MAX;
constexpr std::uint64_t kMaxTimeout = 24ull * 3600 * 1'000'000'000;

Nanos nanos(std::uint64_t count) {
  return Nanos(static_cast<std::int64_t>(std::min(count, kMaxNanos)));
}

// A kind that this worker does not know makes the plan one that cannot be run (check_plan).
ProbePlan probe_from(const v1::Probe& probe) {
  return {.kind = static_cast<ProbeKind>(static_cast<std::uint32_t>(probe.kind()) - 1),
          .command = {probe.command().begin(), probe.command().end()},
          .every = nanos(probe.every_ns()),
          .first_every = nanos(probe.first_every_ns()),
          .timeout = nanos(std::min(probe.timeout_ns(), kMaxTimeout))};
}

std::vector<ProbePlan> probes_from(const v1::LaunchPlan& plan) {
  std::vector<ProbePlan> out;
  for (const v1::Probe& probe : plan.probes()) out.push_back(probe_from(probe));
  return out;
}

v1::ProbeKind encode(ProbeKind kind) {
  return static_cast<v1::ProbeKind>(static_cast<std::uint32_t>(kind) + 1);
}

LaunchPlan plan_from(const v1::LaunchPlan& plan) {
  return {.executable = plan.executable(),
          .argv = {plan.argv().begin(), plan.argv().end()},
          .env = {plan.env().begin(), plan.env().end()},
          .cwd = plan.cwd(),
          .uid = plan.uid(),
          .gid = plan.gid(),
          .open_files = plan.open_files(),
          .processes = plan.pids(),
          .drop_logs = plan.drop_logs(),
          .probes = probes_from(plan)};
}

CallLimits limits_from(const v1::Attach& attach) {
  CallLimits limits;
  if (attach.max_line_bytes() != 0)
    limits.max_line_bytes = std::clamp(attach.max_line_bytes(), kMinLine, kMaxLine);
  if (attach.max_open_calls() != 0)
    limits.max_open_calls = std::min(attach.max_open_calls(), kMaxCalls);
  return limits;
}

bool is_stream_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

v1::FromWorker message_to(Epoch epoch) {
  v1::FromWorker message;
  message.set_protocol(AttachClient::kProtocol);
  message.set_epoch(epoch.value);
  return message;
}

}  // namespace

AttachClient::~AttachClient() {
  if (interest_ != 0) loop_.unwatch(socket_);
}

Status AttachClient::start() {
  int flags = ::fcntl(socket_, F_GETFL);
  if (flags < 0 || ::fcntl(socket_, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("fcntl attach socket");
  interest_ = EPOLLIN;
  return loop_.watch(socket_, interest_, [this](std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) flush();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive();
  });
}

void AttachClient::receive() {
  auto message = receive_fd_message(socket_);
  if (message) return handle(message->bytes, std::move(message->fds));
  if (message.error().code != Code::kCancelled) return;
  loop_.unwatch(socket_);  // no flodead keeps the other end: nobody will ever speak here again
  interest_ = 0;
}

void AttachClient::handle(std::string_view bytes, std::vector<UniqueFd> fds) {
  v1::ToWorker message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return refuse("not a message of flodea.attach.v1");
  if (message.epoch() < epoch_.value) return;
  epoch_.value = message.epoch();
  if (message.protocol() != kProtocol)
    return refuse("protocol " + std::to_string(message.protocol()) + "; this worker speaks 1");
  if (message.has_stop())
    return handler_.on_stop(nanos(message.stop().grace_ns()), message.stop().reason());
  if (message.has_set_deadline())
    return handler_.on_set_deadline(nanos(message.set_deadline().boottime_ns()));
  if (!message.has_attach()) return refuse("a message that this worker does not know");
  if (fds.size() != 1 || !is_stream_socket(fds[0].get()))
    return refuse("Attach carries one stream socket");
  AttachOffer offer{
      .socket = std::move(fds[0]), .plan = std::nullopt, .limits = limits_from(message.attach())};
  if (message.attach().has_launch()) offer.plan = plan_from(message.attach().launch());
  handler_.on_attach(std::move(offer));
}

void AttachClient::say_hello(bool agent_running, Nanos started_boot) {
  auto message = message_to(epoch_);
  auto* hello = message.mutable_hello();
  hello->set_version(FLODEA_VERSION);
  hello->set_min_protocol(kProtocol);
  hello->set_max_protocol(kProtocol);
  hello->set_agent_running(agent_running);
  hello->set_started_boottime_ns(static_cast<std::uint64_t>(started_boot.count()));
  send(message.SerializeAsString());
}

void AttachClient::say_started(Nanos exec_boot, const std::vector<StartPhase>& phases) {
  auto message = message_to(epoch_);
  auto* started = message.mutable_started();
  started->set_exec_boottime_ns(static_cast<std::uint64_t>(exec_boot.count()));
  for (const auto& phase : phases) {
    auto* added = started->add_phases();
    added->set_name(phase.name);
    added->set_nanos(static_cast<std::uint64_t>(phase.duration.count()));
  }
  send(message.SerializeAsString());
}

void AttachClient::say_exited(bool signaled, std::int32_t value, const std::string& exec_error) {
  auto message = message_to(epoch_);
  auto* exited = message.mutable_exited();
  exited->set_signaled(signaled);
  exited->set_value(value);
  exited->set_exec_error(exec_error);
  send(message.SerializeAsString());
}

void AttachClient::refuse(const std::string& why) {
  auto message = message_to(epoch_);
  message.mutable_refused()->set_why(why);
  send(message.SerializeAsString());
}

void AttachClient::say_probe_result(ProbeKind kind, std::string_view output) {
  if (!waiting_.empty()) return;
  auto message = message_to(epoch_);
  message.mutable_probe_result()->set_kind(encode(kind));
  message.mutable_probe_result()->set_output(std::string(output));
  [[maybe_unused]] auto sent = send_fd_message(socket_, message.SerializeAsString());
}

void AttachClient::say_probe_slow(ProbeKind kind) {
  if (!waiting_.empty()) return;
  auto message = message_to(epoch_);
  message.mutable_probe_slow()->set_kind(encode(kind));
  [[maybe_unused]] auto sent = send_fd_message(socket_, message.SerializeAsString());
}

bool AttachClient::say_denied(const std::map<std::string, std::uint64_t>& calls) {
  if (!waiting_.empty()) return false;
  auto message = message_to(epoch_);
  for (const auto& [name, count] : calls) {
    auto* call = message.mutable_denied()->add_calls();
    call->set_name(name);
    call->set_count(count);
  }
  return send_fd_message(socket_, message.SerializeAsString()).has_value();
}

void AttachClient::send(std::string bytes) {
  if (waiting_.size() == kMaxWaiting) waiting_.pop_front();  // all of it stands in the status page
  waiting_.push_back(std::move(bytes));
  flush();
}

void AttachClient::flush() {
  while (!waiting_.empty() && send_fd_message(socket_, waiting_.front())) waiting_.pop_front();
  std::uint32_t wanted = EPOLLIN | (waiting_.empty() ? 0U : EPOLLOUT);
  if (interest_ == 0 || wanted == interest_) return;
  if (loop_.change(socket_, wanted)) interest_ = wanted;
}

}  // namespace flodea::worker
