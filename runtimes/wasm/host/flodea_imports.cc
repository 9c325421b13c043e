#include "runtimes/wasm/host/flodea_imports.h"

#include <cstring>

namespace flodea::wasm {
namespace {

std::int32_t number(GuestError error) { return static_cast<std::int32_t>(error); }

// Copied: the answer may be written over it.
std::optional<std::string> text_at(GuestMemory memory, std::uint32_t at, std::uint32_t length) {
  auto bytes = memory.range(at, length);
  if (!bytes) return std::nullopt;
  return std::string(*bytes, length);
}

Deadline deadline_after(std::int32_t timeout_ms) {
  if (timeout_ms < 0) return std::nullopt;
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
}

}  // namespace

// Its length. What does not fit is kept whole.
std::int32_t FlodeaImports::deliver(std::string text, char* buffer, std::uint32_t capacity) {
  if (text.size() > kLongestMessage) return number(GuestError::kTooLong);
  auto length = static_cast<std::int32_t>(text.size());
  if (text.size() <= capacity)
    std::memcpy(buffer, text.data(), text.size());
  else
    kept_ = std::move(text);
  return length;
}

std::int32_t FlodeaImports::call(GuestMemory memory, std::uint32_t request,
                                 std::uint32_t request_length, std::uint32_t reply,
                                 std::uint32_t capacity) {
  kept_.clear();
  if (!client_) return number(GuestError::kNotConnected);
  if (request_length > kLongestMessage) return number(GuestError::kTooLong);
  auto text = text_at(memory, request, request_length);
  auto buffer = memory.range(reply, capacity);
  if (!text || !buffer) return number(GuestError::kFault);
  auto answer = client_->call(*text);
  if (!answer) return number(answer.error());
  return deliver(std::move(*answer), *buffer, capacity);
}

std::int32_t FlodeaImports::reply(GuestMemory memory, std::uint32_t buffer,
                                  std::uint32_t capacity) {
  auto place = memory.range(buffer, capacity);
  if (!place) return number(GuestError::kFault);
  return deliver(std::exchange(kept_, {}), *place, capacity);
}

std::int32_t FlodeaImports::open(GuestMemory memory, std::uint32_t request,
                                 std::uint32_t request_length) {
  if (!client_) return number(GuestError::kNotConnected);
  if (request_length > kLongestMessage) return number(GuestError::kTooLong);
  auto text = text_at(memory, request, request_length);
  if (!text) return number(GuestError::kFault);
  auto handle = client_->open(*text);
  return handle ? *handle : number(handle.error());
}

std::int32_t FlodeaImports::next(GuestMemory memory, std::int32_t handle, std::uint32_t buffer,
                                 std::uint32_t capacity, std::int32_t timeout_ms) {
  if (!client_) return number(GuestError::kNotConnected);
  auto place = memory.range(buffer, capacity);
  if (!place) return number(GuestError::kFault);
  auto found = client_->next(handle, deadline_after(timeout_ms));
  if (!found) return number(found.error());
  switch (found->kind) {
    case CallClient::Next::Kind::kEnd:
      return 0;
    case CallClient::Next::Kind::kFailed:
      kept_ = std::move(found->text);
      return number(GuestError::kStreamFailed);
    case CallClient::Next::Kind::kMessage:
      break;
  }
  std::string& message = found->text;
  if (message.size() > capacity && message.size() <= kLongestMessage)
    return static_cast<std::int32_t>(message.size());
  client_->take(handle);
  return deliver(std::move(message), *place, capacity);
}

std::int32_t FlodeaImports::close(std::int32_t handle) {
  if (!client_) return number(GuestError::kNotConnected);
  auto closed = client_->close(handle);
  return closed ? 0 : number(closed.error());
}

}  // namespace flodea::wasm
