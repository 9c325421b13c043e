#include "runtimes/wasm/host/line_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace flodea::wasm {
namespace {

constexpr std::size_t kChunk = 64 * 1024;
constexpr std::chrono::milliseconds kLongestPoll{1 << 30};

int milliseconds_left(Deadline deadline) {
  if (!deadline) return -1;
  auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), kLongestPoll).count());
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

GuestResult<short> LineChannel::wait_for(short events, Deadline deadline) {
  for (;;) {
    pollfd waiting{.fd = socket_.get(), .events = events, .revents = 0};
    int ready = ::poll(&waiting, 1, milliseconds_left(deadline));
    if (ready > 0) return waiting.revents;
    if (ready == 0) return short{0};
    if (errno != EINTR) return refuse(GuestError::kClosed);
  }
}

GuestResult<void> LineChannel::take_in() {
  char chunk[kChunk];
  ssize_t n = ::recv(socket_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
  if (n < 0 && would_block()) return {};
  if (n <= 0 || received_.size() > kLongestLine) {
    closed_ = true;
    return refuse(GuestError::kClosed);
  }
  received_.append(chunk, static_cast<std::size_t>(n));
  return {};
}

GuestResult<void> LineChannel::send(std::string_view lines) {
  while (!closed_ && !lines.empty()) {
    ssize_t n = ::send(socket_.get(), lines.data(), lines.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      lines.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (!would_block()) closed_ = true;
    if (closed_) break;
    auto events = wait_for(POLLIN | POLLOUT, std::nullopt);
    if (!events) return refuse(events.error());
    if ((*events & ~POLLOUT) != 0) {
      if (auto taken = take_in(); !taken) return taken;
    }
  }
  if (closed_) return refuse(GuestError::kClosed);
  return {};
}

std::optional<std::string> LineChannel::next_line() {
  std::size_t end = received_.find('\n', searched_);
  if (end == std::string::npos) {
    searched_ = received_.size();
    return std::nullopt;
  }
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  searched_ = 0;
  return line;
}

GuestResult<std::optional<std::string>> LineChannel::receive(Deadline deadline) {
  for (;;) {
    if (auto line = next_line()) return line;
    if (closed_) return refuse(GuestError::kClosed);
    auto events = wait_for(POLLIN, deadline);
    if (!events) return refuse(events.error());
    if (*events == 0) return std::optional<std::string>{};
    if (auto taken = take_in(); !taken) return refuse(taken.error());
  }
}

}  // namespace flodea::wasm
