// flodea.kernel.v1.Clock for one agent. Called on gRPC's threads; blocks none of them.
#pragma once

#include <atomic>
#include <memory>

#include "flodea/kernel/v1/clock.grpc.pb.h"
#include "modules/kernel/sleeper.h"

namespace flodea::kernel {

class ClockService final : public v1::Clock::CallbackService {
 public:
  explicit ClockService(Sleeper& sleeper) : sleeper_(sleeper) {}

  grpc::ServerUnaryReactor* Now(grpc::CallbackServerContext* context, const v1::NowRequest* request,
                                v1::NowResponse* response) override;
  grpc::ServerUnaryReactor* SleepUntil(grpc::CallbackServerContext* context,
                                       const v1::SleepUntilRequest* request,
                                       v1::SleepUntilResponse* response) override;

 private:
  Sleeper& sleeper_;
  std::atomic<std::uint32_t> sleeps_{0};
};

}  // namespace flodea::kernel
