#include "modules/kernel/clock_service.h"

#include "modules/kernel/sleep_request.h"
#include "proto/status_codec/status_codec.h"

namespace flodea::kernel {
namespace {

template <class Response>
void fill_times(const Clock& clock, Response& response) {
  response.set_wall_nanos(clock.wall().count());
  response.set_monotonic_nanos(clock.monotonic().count());
}

Result<SleepRequest> decode(const v1::SleepUntilRequest& request) {
  if (request.has_wall_nanos()) return SleepRequest{SleepClock::kWall, Nanos(request.wall_nanos())};
  if (request.has_monotonic_nanos()) {
    return SleepRequest{SleepClock::kMonotonic, Nanos(request.monotonic_nanos())};
  }
  return tl::unexpected(Error{.code = Code::kInvalidArgument,
                              .message = "no time is given",
                              .field = "until",
                              .remedy = "set wall_nanos or monotonic_nanos"});
}

// One SleepUntil. Ends by the sleeper or by the caller's cancellation, whichever comes first.
class Sleep final : public grpc::ServerUnaryReactor {
 public:
  Sleep(Sleeper& sleeper, std::atomic<std::uint32_t>& sleeps, v1::SleepUntilResponse& response)
      : sleeper_(sleeper), sleeps_(sleeps), response_(response) {}

  void begin(const Result<SleepRequest>& request) {
    if (!request) return Finish(to_grpc_status(request.error()));
    Result<bool> wait = must_sleep(*request, sleeper_.clock());
    if (!wait) return Finish(to_grpc_status(wait.error()));
    if (!*wait) {
      fill_times(sleeper_.clock(), response_);
      return Finish(grpc::Status::OK);
    }
    if (sleeps_.fetch_add(1) >= kMaxSleeps) return end(too_many());
    StartSendInitialMetadata();  // the guard sees that the call has been read, and now only takes
                                 // long
    // gRPC calls OnCancel and OnDone only after the handler has returned, so id_ is there by then.
    id_ = sleeper_.sleep_until(request->clock, request->until, [this] {
      fill_times(sleeper_.clock(), response_);
      end(grpc::Status::OK);
    });
  }

  void OnCancel() override {
    if (id_ != 0 && sleeper_.cancel(id_)) end(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

 private:
  static grpc::Status too_many() {
    return to_grpc_status({.code = Code::kResourceExhausted,
                           .message = "this agent has 64 sleeps already",
                           .remedy = "wait for one of them, or cancel it"});
  }
  // Gives the place back first: who hears that a sleep has ended may begin another.
  void end(const grpc::Status& status) {
    sleeps_.fetch_sub(1);
    Finish(status);
  }

  Sleeper& sleeper_;
  std::atomic<std::uint32_t>& sleeps_;
  v1::SleepUntilResponse& response_;
  Sleeper::Id id_ = 0;
};

}  // namespace

grpc::ServerUnaryReactor* ClockService::Now(grpc::CallbackServerContext* context,
                                            const v1::NowRequest* /*request*/,
                                            v1::NowResponse* response) {
  fill_times(sleeper_.clock(), *response);
  auto* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ClockService::SleepUntil(grpc::CallbackServerContext* /*context*/,
                                                   const v1::SleepUntilRequest* request,
                                                   v1::SleepUntilResponse* response) {
  auto sleep = std::make_unique<Sleep>(sleeper_, sleeps_, *response);
  sleep->begin(decode(*request));
  return sleep.release();  // until OnDone
}

}  // namespace flodea::kernel
