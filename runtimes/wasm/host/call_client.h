// The module's calls, one at a time, and its open streams, over one channel. Belongs to the one
// thread that runs the module: whoever waits reads, and puts aside what is for the streams.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "runtimes/wasm/host/envelope.h"
#include "runtimes/wasm/host/line_channel.h"
#include "runtimes/wasm/host/stop_signal.h"

namespace flodea::wasm {

class CallClient {
 public:
  static constexpr std::size_t kMostStreams = 16;
  static constexpr std::uint32_t kAhead = 16;  // messages that may come before they are asked for
  static constexpr std::string_view kWatchStop = "flodea.agent.v1.Self/WatchStop";

  explicit CallClient(UniqueFd socket) : channel_(std::move(socket)) {}

  // The answer: {"result":…} or {"error":…}.
  GuestResult<std::string> call(std::string_view request);

  // A handle > 0. While a stream of kWatchStop is open SIGTERM interrupts waits, and ends nothing.
  GuestResult<std::int32_t> open(std::string_view request);

  // How a wait for a stream's next message ended.
  struct Next {
    enum class Kind { kMessage, kEnd, kFailed };
    Kind kind = Kind::kEnd;
    std::string text;  // the message, or {"error":…}
  };
  // kTimedOut; kBadHandle. The message stays the next one until take() is called.
  GuestResult<Next> next(std::int32_t handle, Deadline deadline);
  // A connection that breaks here and in close() is told by the next call.
  void take(std::int32_t handle);

  GuestResult<void> close(std::int32_t handle);

 private:
  struct Stream {
    std::uint64_t id = 0;
    std::deque<std::string> messages;
    std::optional<Incoming> end;
    std::optional<StopSignal> stop_signal;
  };

  Stream* find(std::int32_t handle);
  void keep_for_streams(Incoming incoming);
  GuestResult<std::optional<Incoming>> read_one(Deadline deadline);

  LineChannel channel_;
  std::uint64_t last_id_ = 0;
  std::int32_t last_handle_ = 0;
  std::map<std::int32_t, Stream> streams_;
};

}  // namespace flodea::wasm
