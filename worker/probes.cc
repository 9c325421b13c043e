#include "worker/probes.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace flodea::worker {
namespace {

constexpr int kAnswersPerTurn = 2 * static_cast<int>(kProbeKinds);
constexpr ProbeKind kKinds[] = {ProbeKind::kStartup, ProbeKind::kReadiness, ProbeKind::kLiveness};

}  // namespace

Probes::~Probes() {
  end();
  if (socket_) loop_.unwatch(socket_.get());
}

Status Probes::start(UniqueFd socket, std::vector<ProbePlan> plans) {
  for (ProbePlan& plan : plans) {
    ProbeKind kind = plan.kind;
    of(kind).plan = std::move(plan);
  }
  TRY(loop_.watch(socket.get(), EPOLLIN, [this](std::uint32_t) { receive(); }));
  socket_ = std::move(socket);
  return {};
}

void Probes::begin() {
  if (std::exchange(begun_, true) || ended_) return;
  if (!of(ProbeKind::kStartup).plan) return begin_after_startup();
  run(ProbeKind::kStartup);
}

void Probes::begin_after_startup() {
  for (ProbeKind kind : {ProbeKind::kReadiness, ProbeKind::kLiveness})
    if (of(kind).plan) run(kind);
}

void Probes::end() {
  ended_ = true;
  for (Probe& probe : probes_) {
    probe.open = false;
    cancel(probe.due), cancel(probe.slow), cancel(probe.late);
  }
}

void Probes::cancel(EventLoop::TimerId& timer) {
  if (timer != 0) loop_.cancel(std::exchange(timer, 0));
}

void Probes::run(ProbeKind kind) {
  Probe& probe = of(kind);
  probe.begin = clock_.monotonic();
  probe.open = true;
  if (!socket_) return finish(kind, ProbeOutcome::kNoProber, 0, {});
  if (probe.owed) return finish(kind, ProbeOutcome::kNoAnswer, 0, {});  // to the last one
  if (!ask(kind)) return;
  probe.slow = loop_.call_after(probe.plan->timeout / 4, [this, kind] {
    of(kind).slow = 0;
    listener_.on_probe_slow(kind);
  });
  probe.late = loop_.call_after(probe.plan->timeout + kAnswerSlack, [this, kind] {
    of(kind).late = 0;
    finish(kind, ProbeOutcome::kNoAnswer, 0, {});
  });
}

// There is room for it: no more than one request of a probe is ever under way.
bool Probes::ask(ProbeKind kind) {
  Probe& probe = of(kind);
  ProbeRequest request{.probe = static_cast<std::uint32_t>(kind), .run = ++probe.run};
  ssize_t n = ::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n == sizeof request) return probe.owed = true;
  lose_prober();
  return false;
}

void Probes::receive() {
  for (int i = 0; i < kAnswersPerTurn && socket_; ++i) {
    char bytes[sizeof(ProbeAnswer)];
    ssize_t n = ::recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n != sizeof bytes || !take({bytes, sizeof bytes})) return lose_prober();
  }
}

// False: no answer to what was asked.
bool Probes::take(std::string_view bytes) {
  ProbeAnswer answer;
  std::memcpy(&answer, bytes.data(), sizeof answer);
  bool sound = answer.probe < kProbeKinds && answer.output_bytes <= kProbeOutput &&
               answer.outcome >= ProbeOutcome::kSucceeded &&
               answer.outcome <= ProbeOutcome::kNotRun;
  if (!sound) return false;
  auto kind = static_cast<ProbeKind>(answer.probe);
  Probe& probe = of(kind);
  if (!probe.owed || answer.run != probe.run) return false;
  probe.owed = false;
  // `late` is there while nothing was concluded from its silence.
  if (probe.open && probe.late != 0)
    finish(kind, answer.outcome, answer.value, {answer.output, answer.output_bytes});
  return true;
}

void Probes::finish(ProbeKind kind, ProbeOutcome outcome, std::uint32_t value,
                    std::string_view output) {
  Probe& probe = of(kind);
  if (!std::exchange(probe.open, false)) return;
  cancel(probe.slow), cancel(probe.late);
  bool good = outcome == ProbeOutcome::kSucceeded;
  bool news = !good || !probe.succeeded || probe.failures != 0;
  probe.failures = page_.record_probe(
      kind, {.outcome = outcome, .value = value, .begin = probe.begin, .end = clock_.monotonic()});
  bool first = good && !std::exchange(probe.succeeded, probe.succeeded || good);
  if (news) listener_.on_probe_result(kind, output);
  if (kind == ProbeKind::kStartup && first) return begin_after_startup();
  schedule(kind);
}

void Probes::schedule(ProbeKind kind) {
  Probe& probe = of(kind);
  if (ended_) return;
  Nanos every = probe.succeeded ? probe.plan->every : probe.plan->first_every;
  Nanos wait = probe.begin + every - clock_.monotonic();
  // After a long run a pause all the same.
  probe.due = loop_.call_after(std::max(wait, kMinProbePeriod), [this, kind] {
    of(kind).due = 0;
    run(kind);
  });
}

// For good: who killed it could kill the next. Each run fails, and says why.
void Probes::lose_prober() {
  if (!socket_) return;
  loop_.unwatch(socket_.get());
  socket_.reset();
  for (ProbeKind kind : kKinds) {
    of(kind).owed = false;
    finish(kind, ProbeOutcome::kNoProber, 0, {});
  }
}

}  // namespace flodea::worker
