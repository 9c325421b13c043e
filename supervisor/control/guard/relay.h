// Relays bytes between each agent's socket and the socket of its gRPC server, past a FrameScanner.
// One epoll set for all agents. Fair: a ready descriptor gets one read of at most 64 KiB a turn.
// An idle connection owns no buffer; only bytes that could not be passed on do.
//
// Single-threaded: every method belongs to one thread (guard.h owns it). Never blocks but in
// `turn`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/call_marks.h"
#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/control/guard/frame_scanner.h"
#include "supervisor/control/guard/limit_notice.h"

namespace flodea::control {

// Of one agent, shared by its successive connections. `rates`, `reported`, `mark` and `left_at`
// belong to the relay.
struct GuardedAgent {
  GuardedAgent(AgentId agent, const FrameLimits& frame_limits, double calls_per_second,
               CallMarks::Row row = {})
      : id(std::move(agent)),
        limits(frame_limits),
        rates(frame_limits, calls_per_second),
        mark(std::move(row)) {}

  AgentId id;
  FrameLimits limits;
  RateBudget rates;
  Nanos reported{};     // when the observer was last told that the agent waits
  CallMarks::Row mark;  // of its unanswered calls; set before the server gets their bytes
  Nanos left_at{};      // what connections that ended left unanswered
  std::atomic<std::uint64_t> calls_throttled{0};
};

class Relay {
 public:
  using ConnectionId = std::uint64_t;
  static constexpr std::size_t kTurnBytes = 64 * 1024;

  // `observer` must not block.
  static Result<std::unique_ptr<Relay>> create(const Clock& clock, LimitObserver observer);
  ~Relay();

  // `outer` is the agent's socket, `inner` the gRPC server's. The id is the caller's, never reused.
  Status add(ConnectionId id, UniqueFd outer, UniqueFd inner, std::shared_ptr<GuardedAgent> agent);
  void remove(ConnectionId id);
  // Waits at most `timeout_ms` (-1: until something happens) and serves what is ready.
  Status turn(int timeout_ms);
  Status watch(int fd, std::function<void()> readable);  // one descriptor of the owner's

  std::size_t connections() const { return connections_.size(); }
  std::size_t buffered_bytes() const { return buffered_; }  // held for peers that do not read

 private:
  struct Connection;
  struct Chunk;
  enum class Side : std::uint32_t { kOuter = 0, kInner = 1 };

  Relay(const Clock& clock, LimitObserver observer, UniqueFd epoll);
  void serve(Connection& connection, Side side, std::uint32_t events);
  bool read_request(Connection& connection);
  bool advance_request(Connection& connection, Chunk chunk);
  bool resume_request(Connection& connection);
  bool scan(Connection& connection, Chunk& chunk);
  bool read_reply(Connection& connection);
  bool send_reply(Connection& connection, std::string_view bytes);
  bool resume_reply(Connection& connection);
  bool send_released(Connection& connection);
  void keep(std::string& kept, std::string_view bytes);
  void update_interest(Connection& connection);
  void set_interest(Connection& connection, Side side, std::uint32_t events);
  void set_deadline(Connection& connection, Nanos deadline);
  void expire();
  void mark(Connection& connection);
  void report_wait(Connection& connection, const ScanResult& result, Nanos now);
  void close(Connection& connection, const char* limit);
  void drop(Connection& connection);
  int timeout_for(int wanted_ms) const;

  const Clock& clock_;
  LimitObserver observer_;
  UniqueFd epoll_;
  std::function<void()> owner_readable_;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
  std::set<std::pair<Nanos, ConnectionId>> deadlines_;
  std::size_t buffered_ = 0;
  std::vector<char> scratch_;  // what was just read, of whichever connection
  std::string reply_scratch_;
};

}  // namespace flodea::control
