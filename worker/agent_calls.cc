#include "worker/agent_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace flodea::worker {
namespace {

constexpr std::string_view kReadyMethod = "/flodea.agent.v1.Self/Ready";
constexpr std::string_view kBeatMethod = "/flodea.agent.v1.Self/Beat";
constexpr std::uint32_t kMaxCredit = 1U << 31;
constexpr int kUnavailable = static_cast<int>(Code::kUnavailable);

std::string bounds_text(std::string_view what, std::size_t limit) {
  return "more than " + std::to_string(limit) + " " + std::string(what);
}

}  // namespace

AgentCalls::~AgentCalls() {
  if (expiry_ != 0) loop_.cancel(expiry_);
}

Status AgentCalls::start(UniqueFd agent_socket, CallLimits limits) {
  limits_ = limits;
  LineConnection::Handler& handler = *this;
  agent_ = std::make_unique<LineConnection>(loop_, std::move(agent_socket), limits.max_line_bytes,
                                            handler);
  return agent_->start();
}

Status AgentCalls::attach(UniqueFd socket) {
  channel_.reset();
  lose_calls_in_flight();
  connected_ = false;
  channel_ = TRY(channels_.open(std::move(socket), *this));
  connected_ = true;
  for (auto& [id, call] : calls_) launch(id, call);
  return {};
}

// --- from the agent ---

void AgentCalls::on_line(std::string_view line) {
  auto request = parse_rpc_line(line);
  if (!request) return protocol_error(request.error());
  if (request->id.empty()) return handle_notification(*request);
  handle_call(*request);
}

void AgentCalls::on_line_too_long() {
  protocol_error({kInvalidRequest, "the line is too long", {}});
}

void AgentCalls::protocol_error(const RpcProblem& problem) {
  page_.add_protocol_error();
  refuse(problem.id, problem.code, problem.message);
}

void AgentCalls::refuse(std::string_view id, int code, std::string_view message) {
  std::string line;
  append_rpc_error(id, code, message, {}, line);
  agent_->send(line);
}

void AgentCalls::handle_notification(const RpcRequest& request) {
  bool is_cancel = request.method == "cancel";
  auto control = parse_rpc_control(request.params);
  bool sound =
      control && (is_cancel ? control->n == 0 : request.method == "credit" && control->n != 0);
  if (!sound)
    return protocol_error(
        {kInvalidRequest, "a request without \"id\" must be a sound \"cancel\" or \"credit\"", {}});
  auto it = find(control->id);
  if (it == calls_.end()) return;  // it has just ended: no error, its answer is under way
  auto& [id, call] = *it;
  if (is_cancel) return cancel(id, call);
  call.credit = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{call.credit} + control->n, kMaxCredit));
  ask_for_item(id, call);
}

void AgentCalls::handle_call(const RpcRequest& request) {
  const Method* method = transcoder_.find(request.method);
  if (method == nullptr || method->client_streams)
    return protocol_error({kMethodNotFound, "no such method", request.id});
  if (calls_.size() >= limits_.max_open_calls) {
    return refuse(request.id, rpc_error_code(static_cast<int>(Code::kResourceExhausted)),
                  bounds_text("calls are open", limits_.max_open_calls));
  }
  if (find(request.id) != calls_.end())
    return protocol_error({kInvalidRequest, "\"id\" is that of an open call", request.id});
  auto encoded = transcoder_.encode(*method, request.params, request.idempotency_key);
  if (!encoded) return refuse(request.id, kInvalidParams, encoded.error().message);
  open_call(request, *method, std::move(*encoded));
}

void AgentCalls::open_call(const RpcRequest& request, const Method& method,
                           EncodedRequest encoded) {
  Call call{.id = std::string(request.id),
            .method = &method,
            .request = std::move(encoded.bytes),
            .repeatable = encoded.repeatable};
  if (request.deadline_ms)
    call.deadline = clock_.monotonic() + std::chrono::milliseconds(*request.deadline_ms);
  page_.add_call();
  if (method.path == kBeatMethod)
    page_.set_agent_beat(clock_.monotonic());  // with or without a control
  CallId id = next_id_++;
  launch(id, calls_.emplace(id, std::move(call)).first->second);
}

AgentCalls::Calls::iterator AgentCalls::find(std::string_view agent_id) {
  return std::ranges::find_if(
      calls_, [agent_id](const auto& entry) { return entry.second.id == agent_id; });
}

void AgentCalls::cancel(CallId id, Call& call) {
  if (!call.in_flight) return end(id, static_cast<int>(Code::kCancelled), "cancelled by the agent");
  call.cancelled = true;
  channel_->cancel(id);
}

void AgentCalls::on_drained() {
  for (auto& [id, call] : calls_) ask_for_item(id, call);
}

void AgentCalls::on_closed() {
  for (auto& [id, call] : calls_) {
    if (call.in_flight && channel_) channel_->cancel(id);
  }
  calls_.clear();
}

// --- to and from control ---

void AgentCalls::launch(CallId id, Call& call) {
  if (!connected_) return wait_for_channel(call);
  std::optional<Nanos> timeout;
  if (call.deadline) timeout = std::max(*call.deadline - clock_.monotonic(), Nanos(0));
  call.in_flight = true;
  call.reading = false;
  channel_->start({.id = id,
                   .path = call.method->path,
                   .request = call.repeatable ? call.request : std::move(call.request),
                   .streams = call.method->streams,
                   .timeout = timeout});
  ask_for_item(id, call);
}

void AgentCalls::ask_for_item(CallId id, Call& call) {
  if (!call.method->streams || !call.in_flight || call.reading || call.credit == 0 ||
      agent_->congested())
    return;
  call.reading = true;
  channel_->read_next(id);
}

void AgentCalls::on_item(CallId id, std::string message) {
  auto it = calls_.find(id);
  if (it == calls_.end()) return;
  Call& call = it->second;
  call.reading = false;
  auto json = transcoder_.decode(*call.method, message);
  if (!json) return cancel(id, call);
  --call.credit;
  std::string line;
  append_rpc_item(call.id, ++call.items, *json, line);
  agent_->send(line);
  if (auto again = calls_.find(id); again != calls_.end()) ask_for_item(id, again->second);
}

void AgentCalls::on_done(CallId id, CallOutcome outcome) {
  auto it = calls_.find(id);
  if (it == calls_.end()) return;
  Call& call = it->second;
  call.in_flight = false;
  if (!outcome.connection_lost || call.cancelled) return answer(id, outcome);
  connected_ = false;
  if (!call.repeatable) {
    return end(id, kUnavailable,
               "the supervisor was restarted during this call; whether it took effect is unknown");
  }
  wait_for_channel(call);
}

// Calls in flight go on: what control had answered is still on its way, the rest ends by itself.
void AgentCalls::on_connection_lost() { connected_ = false; }

// The channel is gone and will say nothing of them.
void AgentCalls::lose_calls_in_flight() {
  std::vector<CallId> lost;
  for (const auto& [id, call] : calls_) {
    if (call.in_flight) lost.push_back(id);
  }
  for (CallId id : lost)
    on_done(id, {.code = kUnavailable, .message = "connection lost", .connection_lost = true});
}

void AgentCalls::wait_for_channel(Call& call) {
  call.waits_until = clock_.monotonic() + kDetachedLimit;
  if (call.deadline) call.waits_until = std::min(call.waits_until, *call.deadline);
  schedule_expiry();
}

void AgentCalls::schedule_expiry() {
  if (expiry_ != 0) loop_.cancel(std::exchange(expiry_, 0));
  std::optional<Nanos> next;
  for (const auto& [id, call] : calls_) {
    if (!call.in_flight) next = std::min(next.value_or(call.waits_until), call.waits_until);
  }
  if (!next) return;
  expiry_ = loop_.call_after(std::max(*next - clock_.monotonic(), Nanos(0)),
                             [this] { expire_waiting(); });
}

void AgentCalls::expire_waiting() {
  expiry_ = 0;
  Nanos now = clock_.monotonic();
  std::vector<CallId> late;
  for (const auto& [id, call] : calls_) {
    if (!call.in_flight && call.waits_until <= now) late.push_back(id);
  }
  for (CallId id : late) {
    auto it = calls_.find(id);
    if (it == calls_.end()) return;  // the agent's socket broke meanwhile
    bool own = it->second.deadline && *it->second.deadline <= now;
    end(id, own ? static_cast<int>(Code::kDeadlineExceeded) : kUnavailable,
        own ? "deadline exceeded" : "the supervisor is not there");
  }
  schedule_expiry();
}

void AgentCalls::answer(CallId id, const CallOutcome& outcome) {
  Call& call = calls_.at(id);
  if (outcome.code != 0) {
    std::string line;
    append_rpc_error(call.id, rpc_error_code(outcome.code), outcome.message,
                     Transcoder::details_json(outcome.details), line);
    calls_.erase(id);
    return agent_->send(line);
  }
  auto json = call.method->streams ? Result<std::string>("{}")
                                   : transcoder_.decode(*call.method, outcome.reply);
  if (!json) return end(id, static_cast<int>(json.error().code), json.error().message);
  if (call.method->path == kReadyMethod) page_.set_ready();
  std::string line;
  append_rpc_result(call.id, *json, line);
  calls_.erase(id);
  agent_->send(line);
}

void AgentCalls::end(CallId id, int grpc_code, std::string_view message) {
  std::string agent_id = calls_.at(id).id;
  calls_.erase(id);
  refuse(agent_id, rpc_error_code(grpc_code), message);
}

}  // namespace flodea::worker
