// Lines over the socket to the worker, for one thread that blocks. The worker stops reading while
// too many of its answers are unread, so what arrives is taken in while a line is being sent.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "runtimes/wasm/host/guest.h"

namespace flodea::wasm {

// When to stop waiting; none: never.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

class LineChannel {
 public:
  static constexpr std::size_t kLongestLine = 8 << 20;  // longer: the peer is no worker

  explicit LineChannel(UniqueFd socket) : socket_(std::move(socket)) {}

  // kClosed: now and ever after.
  GuestResult<void> send(std::string_view lines);
  // The next line, without its '\n'; nothing when `deadline` has passed. A signal does not end it.
  GuestResult<std::optional<std::string>> receive(Deadline deadline);

 private:
  GuestResult<short> wait_for(short events, Deadline deadline);  // 0: the deadline has passed
  GuestResult<void> take_in();
  std::optional<std::string> next_line();

  UniqueFd socket_;
  std::string received_;
  std::size_t searched_ = 0;  // of received_: no '\n' before this
  bool closed_ = false;
};

}  // namespace flodea::wasm
