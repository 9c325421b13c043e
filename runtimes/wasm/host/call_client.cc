#include "runtimes/wasm/host/call_client.h"

namespace flodea::wasm {

// Nothing: the deadline has passed.
GuestResult<std::optional<Incoming>> CallClient::read_one(Deadline deadline) {
  auto line = channel_.receive(deadline);
  if (!line) return refuse(line.error());
  if (!*line) return std::optional<Incoming>{};
  auto incoming = read_line(**line);
  if (!incoming) return refuse(GuestError::kClosed);
  return incoming;
}

void CallClient::keep_for_streams(Incoming incoming) {
  for (auto& [handle, stream] : streams_) {
    if (incoming.id != stream.id) continue;
    if (incoming.kind == Incoming::Kind::kItem)
      stream.messages.push_back(std::move(incoming.text));
    else
      stream.end = std::move(incoming);
    return;
  }
}

GuestResult<std::string> CallClient::call(std::string_view text) {
  auto request = read_request(text);
  if (!request) return refuse(request.error());
  std::uint64_t id = ++last_id_;
  std::string line = call_line(id, *request);
  if (line.size() > kLongestMessage) return refuse(GuestError::kTooLong);
  if (auto sent = channel_.send(line); !sent) return refuse(sent.error());
  for (;;) {
    auto incoming = read_one(std::nullopt);
    if (!incoming) return refuse(incoming.error());
    Incoming& message = **incoming;
    // An error without an id is about the line just sent: there is no other.
    bool mine = message.kind != Incoming::Kind::kItem && message.id.value_or(id) == id;
    if (mine) return std::move(message.text);
    keep_for_streams(std::move(message));
  }
}

GuestResult<std::int32_t> CallClient::open(std::string_view text) {
  auto request = read_request(text);
  if (!request) return refuse(request.error());
  if (streams_.size() >= kMostStreams) return refuse(GuestError::kTooMany);
  std::uint64_t id = ++last_id_;
  std::string line = call_line(id, *request);
  if (line.size() > kLongestMessage) return refuse(GuestError::kTooLong);
  if (auto sent = channel_.send(line + credit_line(id, kAhead)); !sent) return refuse(sent.error());
  Stream& stream = streams_[++last_handle_];
  stream.id = id;
  if (request->method == kWatchStop) stream.stop_signal.emplace();
  return last_handle_;
}

CallClient::Stream* CallClient::find(std::int32_t handle) {
  auto it = streams_.find(handle);
  return it == streams_.end() ? nullptr : &it->second;
}

GuestResult<CallClient::Next> CallClient::next(std::int32_t handle, Deadline deadline) {
  Stream* stream = find(handle);
  if (stream == nullptr) return refuse(GuestError::kBadHandle);
  while (stream->messages.empty() && !stream->end) {
    auto incoming = read_one(deadline);
    if (!incoming) return refuse(incoming.error());
    if (!*incoming) return refuse(GuestError::kTimedOut);
    keep_for_streams(std::move(**incoming));
  }
  if (!stream->messages.empty()) return Next{Next::Kind::kMessage, stream->messages.front()};
  if (stream->end->kind == Incoming::Kind::kError)
    return Next{Next::Kind::kFailed, stream->end->text};
  return Next{};
}

void CallClient::take(std::int32_t handle) {
  Stream* stream = find(handle);
  if (stream == nullptr || stream->messages.empty()) return;
  stream->messages.pop_front();
  if (!stream->end) (void)channel_.send(credit_line(stream->id, 1));
}

GuestResult<void> CallClient::close(std::int32_t handle) {
  Stream* stream = find(handle);
  if (stream == nullptr) return refuse(GuestError::kBadHandle);
  std::uint64_t id = stream->id;
  bool ended = stream->end.has_value();
  streams_.erase(handle);
  if (!ended) (void)channel_.send(cancel_line(id));
  return {};
}

}  // namespace flodea::wasm
