// Calls to control over gRPC. One completion queue and one thread of ours serve every channel; what
// that thread takes from the queue it posts to the loop, so that all state here belongs to the
// loop's thread. gRPC itself is started by the first `open`: it costs milliseconds, and the agent
// is launched before.
#pragma once

#include <memory>

#include "base/event_loop.h"
#include "worker/call_channel.h"

namespace flodea::worker {

class GrpcChannels final : public CallChannelFactory {
 public:
  explicit GrpcChannels(EventLoop& loop);
  ~GrpcChannels() override;  // after every channel; ends the thread

  Result<std::unique_ptr<CallChannel>> open(UniqueFd socket, CallObserver& observer) override;

 private:
  class Queue;
  class Channel;
  struct Call;
  EventLoop& loop_;
  std::unique_ptr<Queue> queue_;  // made by the first `open`
};

}  // namespace flodea::worker
