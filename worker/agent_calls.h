// The agent's calls: JSON-RPC lines from its socket become calls on the channel to control, answers
// go back. Owner: Worker. Thread: the loop's. What the agent can do here costs only its own memory
// and time: lines, open calls and unread replies are bounded, and nothing waits for it. When
// control dies, its channel is lost. Calls that may be repeated (idempotent by their method's
// option, or with a key) are sent again on the next channel, streams are opened again; other calls
// in flight end with UNAVAILABLE. Calls that arrive meanwhile wait. Nothing waits longer than
// kDetachedLimit.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "base/event_loop.h"
#include "base/mapped_status_page.h"
#include "worker/call_channel.h"
#include "worker/json_rpc.h"
#include "worker/line_connection.h"
#include "worker/transcoder.h"

namespace flodea::worker {

struct CallLimits {
  std::size_t max_line_bytes = 1 << 20;
  std::size_t max_open_calls = 64;
};

class AgentCalls final : private LineConnection::Handler, private CallObserver {
 public:
  static constexpr Nanos kDetachedLimit = std::chrono::seconds(30);

  AgentCalls(EventLoop& loop, CallChannelFactory& channels, StatusPageWriter& page,
             const Clock& clock)
      : loop_(loop), channels_(channels), page_(page), clock_(clock) {}
  ~AgentCalls() override;

  Status start(UniqueFd agent_socket, CallLimits limits);
  // A control, maybe a new one, offers a fresh connection. Calls of the old one are repeated or
  // ended.
  Status attach(UniqueFd socket);

 private:
  struct Call {
    std::string id;  // the agent's token
    const Method* method;
    std::string request;
    bool repeatable = false;
    bool in_flight = false;  // started on the channel at hand
    bool reading = false;    // of a stream: an item was asked for
    bool cancelled = false;
    std::optional<Nanos> deadline;  // CLOCK_MONOTONIC
    Nanos waits_until{};            // CLOCK_MONOTONIC, while not in flight
    std::uint32_t credit = 0;
    std::uint64_t items = 0;
  };
  using Calls = std::unordered_map<CallId, Call>;

  void on_line(std::string_view line) override;
  void on_line_too_long() override;
  void on_drained() override;
  void on_closed() override;
  void on_item(CallId id, std::string message) override;
  void on_done(CallId id, CallOutcome outcome) override;
  void on_connection_lost() override;

  void handle_notification(const RpcRequest& request);
  void handle_call(const RpcRequest& request);
  void open_call(const RpcRequest& request, const Method& method, EncodedRequest encoded);
  void launch(CallId id, Call& call);
  void wait_for_channel(Call& call);
  void ask_for_item(CallId id, Call& call);
  void cancel(CallId id, Call& call);
  void lose_calls_in_flight();
  void schedule_expiry();
  void expire_waiting();
  void answer(CallId id, const CallOutcome& outcome);
  void end(CallId id, int grpc_code, std::string_view message);
  void refuse(std::string_view id, int code, std::string_view message);
  void protocol_error(const RpcProblem& problem);
  Calls::iterator find(std::string_view agent_id);

  EventLoop& loop_;
  CallChannelFactory& channels_;
  StatusPageWriter& page_;
  const Clock& clock_;
  CallLimits limits_;
  Transcoder transcoder_;
  std::unique_ptr<LineConnection> agent_;
  std::unique_ptr<CallChannel> channel_;  // null: none yet
  bool connected_ = false;                // what is started on channel_ may arrive
  Calls calls_;
  CallId next_id_ = 1;
  EventLoop::TimerId expiry_ = 0;  // 0: none is set
};

}  // namespace flodea::worker
