#include "supervisor/control/guard/relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <span>
#include <string_view>

namespace flodea::control {
namespace {

constexpr Nanos kReportEvery = std::chrono::seconds(10);
constexpr Nanos kNever = Nanos::max();
constexpr std::uint64_t kOwnerTag = ~std::uint64_t{0};

// Bytes taken; 0 if the peer's buffer is full; nullopt if it is gone.
std::optional<std::size_t> try_send(int fd, std::string_view bytes) {
  if (bytes.empty()) return 0;
  ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return std::nullopt;
}

}  // namespace

// Requests on their way in: [0, cleared) has passed the scanner, the rest has not.
struct Relay::Chunk {
  std::string_view bytes;
  std::size_t cleared = 0;
};

struct Relay::Connection {
  Connection(ConnectionId i, UniqueFd outer, UniqueFd inner, std::shared_ptr<GuardedAgent> a)
      : id(i), agent(std::move(a)), scanner(agent->limits, agent->rates) {
    fds[0] = std::move(outer);
    fds[1] = std::move(inner);
  }
  int fd(Side side) const { return fds[static_cast<std::uint32_t>(side)].get(); }

  ConnectionId id;
  std::shared_ptr<GuardedAgent> agent;
  FrameScanner scanner;
  UniqueFd fds[2];
  std::uint32_t interest[2] = {0, 0};
  std::string kept_request;  // not yet sent to the server
  std::size_t cleared = 0;   // of kept_request
  std::string kept_reply;
  Nanos deadline = kNever;  // entry in deadlines_
  Nanos waits_until{};      // zero: does not wait for a rate
};

Result<std::unique_ptr<Relay>> Relay::create(const Clock& clock, LimitObserver observer) {
  auto epoll = TRY(adopt_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  return std::unique_ptr<Relay>(new Relay(clock, std::move(observer), std::move(epoll)));
}

Relay::Relay(const Clock& clock, LimitObserver observer, UniqueFd epoll)
    : clock_(clock),
      observer_(std::move(observer)),
      epoll_(std::move(epoll)),
      scratch_(kTurnBytes) {}
Relay::~Relay() = default;

Status Relay::watch(int fd, std::function<void()> readable) {
  owner_readable_ = std::move(readable);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kOwnerTag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl add");
  return {};
}

Status Relay::add(ConnectionId id, UniqueFd outer, UniqueFd inner,
                  std::shared_ptr<GuardedAgent> agent) {
  auto connection =
      std::make_unique<Connection>(id, std::move(outer), std::move(inner), std::move(agent));
  for (Side side : {Side::kOuter, Side::kInner}) {
    std::uint64_t tag = id << 1 | static_cast<std::uint32_t>(side);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = tag}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd(side), &event) != 0) {
      return fail_errno("epoll_ctl add");
    }
    connection->interest[static_cast<std::uint32_t>(side)] = EPOLLIN;
  }
  Connection& added = *connections_.emplace(id, std::move(connection)).first->second;
  set_deadline(added, clock_.monotonic() + added.agent->limits.preface_deadline);
  return {};
}

void Relay::remove(ConnectionId id) {
  auto it = connections_.find(id);
  if (it != connections_.end()) drop(*it->second);
}

void Relay::drop(Connection& connection) {
  GuardedAgent& agent = *connection.agent;
  // Its end is the server's to deal with, and nothing tells when that is done.
  if (connection.scanner.open_streams() > 0) agent.left_at = clock_.monotonic();
  agent.mark.set(agent.left_at);
  set_deadline(connection, kNever);
  buffered_ -= connection.kept_request.size() + connection.kept_reply.size();
  connections_.erase(connection.id);
}

void Relay::close(Connection& connection, const char* limit) {
  AgentId agent = connection.agent->id;
  drop(connection);
  if (limit != nullptr && observer_) observer_({agent, limit, LimitEffect::kClosed});
}

Status Relay::turn(int timeout_ms) {
  epoll_event events[64];
  int n = ::epoll_wait(epoll_.get(), events, 64, timeout_for(timeout_ms));
  if (n < 0 && errno != EINTR) return fail_errno("epoll_wait");
  for (int i = 0; i < n; ++i) {
    std::uint64_t tag = events[i].data.u64;
    if (tag == kOwnerTag) {
      owner_readable_();
    } else if (auto it = connections_.find(tag >> 1); it != connections_.end()) {
      serve(*it->second, static_cast<Side>(tag & 1), events[i].events);
    }
  }
  expire();
  return {};
}

void Relay::serve(Connection& connection, Side side, std::uint32_t events) {
  bool alive = true;
  const bool outer = side == Side::kOuter;
  if ((events & EPOLLOUT) != 0) {
    alive = outer ? resume_reply(connection) : resume_request(connection);
  }
  if (alive && (events & EPOLLIN) != 0) {
    alive = outer ? read_request(connection) : read_reply(connection);
  }
  // Without EPOLLIN nothing is left to be read, or nobody wants to: the other side cannot take it.
  if (alive && (events & (EPOLLHUP | EPOLLERR)) != 0 && (events & EPOLLIN) == 0) {
    close(connection, nullptr);
    return;
  }
  if (alive) update_interest(connection);
}

bool Relay::read_request(Connection& connection) {
  if (!connection.kept_request.empty()) return true;
  ssize_t n = ::recv(connection.fd(Side::kOuter), scratch_.data(), scratch_.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) {
    close(connection, nullptr);
    return false;
  }
  return advance_request(connection, {{scratch_.data(), static_cast<std::size_t>(n)}});
}

bool Relay::scan(Connection& connection, Chunk& chunk) {
  Nanos now = clock_.monotonic();
  if (chunk.cleared == chunk.bytes.size() || now < connection.waits_until) return true;
  auto fresh = chunk.bytes.substr(chunk.cleared);
  ScanResult result = connection.scanner.scan_request(
      {reinterpret_cast<const std::uint8_t*>(fresh.data()), fresh.size()}, now);
  if (result.verdict == Verdict::kClose) {
    close(connection, result.limit);
    return false;
  }
  chunk.cleared += result.consumed;
  connection.waits_until = {};
  if (result.verdict == Verdict::kWait) report_wait(connection, result, now);
  return true;
}

bool Relay::advance_request(Connection& connection, Chunk chunk) {
  if (!scan(connection, chunk)) return false;
  mark(connection);
  auto sent = try_send(connection.fd(Side::kInner), chunk.bytes.substr(0, chunk.cleared));
  if (!sent) {
    close(connection, nullptr);
    return false;
  }
  connection.cleared = chunk.cleared - *sent;
  keep(connection.kept_request, chunk.bytes.substr(*sent));
  bool waits = connection.waits_until > Nanos{};
  Nanos preface = connection.scanner.greeted() ? kNever : connection.deadline;
  set_deadline(connection, waits ? connection.waits_until : preface);
  return send_released(connection);
}

bool Relay::resume_request(Connection& connection) {
  if (connection.kept_request.empty()) return true;
  std::string held = std::exchange(connection.kept_request, {});
  buffered_ -= held.size();
  // The server gets only now what has been scanned before.
  if (connection.cleared > 0) connection.agent->left_at = clock_.monotonic();
  return advance_request(connection, {held, connection.cleared});
}

void Relay::report_wait(Connection& connection, const ScanResult& result, Nanos now) {
  connection.waits_until = result.until;
  GuardedAgent& agent = *connection.agent;
  if (result.new_wait && std::string_view(result.limit) == "calls") {
    agent.calls_throttled.fetch_add(1, std::memory_order_relaxed);
  }
  if (!observer_ || (agent.reported > Nanos{} && now - agent.reported < kReportEvery)) return;
  agent.reported = now;
  observer_({agent.id, result.limit, LimitEffect::kSlowed});
}

bool Relay::read_reply(Connection& connection) {
  if (!connection.kept_reply.empty()) return true;
  ssize_t n = ::recv(connection.fd(Side::kInner), scratch_.data(), scratch_.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) {
    close(connection, nullptr);
    return false;
  }
  reply_scratch_.clear();
  connection.scanner.filter_reply(
      {reinterpret_cast<const std::uint8_t*>(scratch_.data()), static_cast<std::size_t>(n)},
      reply_scratch_);
  mark(connection);
  return send_reply(connection, reply_scratch_);
}

void Relay::mark(Connection& connection) {
  GuardedAgent& agent = *connection.agent;
  agent.mark.set(std::max(agent.left_at, connection.scanner.unanswered()));
}

bool Relay::send_reply(Connection& connection, std::string_view bytes) {
  auto sent = try_send(connection.fd(Side::kOuter), bytes);
  if (!sent) {
    close(connection, nullptr);
    return false;
  }
  keep(connection.kept_reply, bytes.substr(*sent));
  return true;
}

bool Relay::resume_reply(Connection& connection) {
  std::string held = std::exchange(connection.kept_reply, {});
  buffered_ -= held.size();
  return send_reply(connection, held) && send_released(connection);
}

bool Relay::send_released(Connection& connection) {
  if (!connection.kept_reply.empty()) return true;
  reply_scratch_.clear();
  connection.scanner.take_released(reply_scratch_);
  return reply_scratch_.empty() || send_reply(connection, reply_scratch_);
}

void Relay::keep(std::string& kept, std::string_view bytes) {
  kept.assign(bytes);
  buffered_ += bytes.size();
}

void Relay::update_interest(Connection& connection) {
  bool request_blocked = connection.cleared > 0;  // the server does not read
  bool reply_blocked = !connection.kept_reply.empty();
  bool takes_requests = connection.kept_request.empty();
  set_interest(connection, Side::kOuter,
               (takes_requests ? EPOLLIN : 0u) | (reply_blocked ? EPOLLOUT : 0u));
  set_interest(connection, Side::kInner,
               (reply_blocked ? 0u : EPOLLIN) | (request_blocked ? EPOLLOUT : 0u));
}

void Relay::set_interest(Connection& connection, Side side, std::uint32_t events) {
  auto index = static_cast<std::uint32_t>(side);
  if (connection.interest[index] == events) return;
  connection.interest[index] = events;
  epoll_event event{.events = events, .data = {.u64 = connection.id << 1 | index}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd(side), &event);
}

void Relay::set_deadline(Connection& connection, Nanos deadline) {
  if (connection.deadline == deadline) return;
  if (connection.deadline != kNever) deadlines_.erase({connection.deadline, connection.id});
  if (deadline != kNever) deadlines_.emplace(deadline, connection.id);
  connection.deadline = deadline;
}

void Relay::expire() {
  Nanos now = clock_.monotonic();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Connection& connection = *connections_.at(deadlines_.begin()->second);
    set_deadline(connection, kNever);
    if (!connection.scanner.greeted() && connection.waits_until == Nanos{}) {
      close(connection, "preface_deadline");
    } else if (resume_request(connection)) {
      update_interest(connection);
    }
  }
}

int Relay::timeout_for(int wanted_ms) const {
  if (deadlines_.empty()) return wanted_ms;
  auto left = deadlines_.begin()->first - clock_.monotonic();
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  int until = static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
  return wanted_ms < 0 ? until : std::min(until, wanted_ms);
}

}  // namespace flodea::control
