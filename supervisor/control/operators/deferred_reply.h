// A unary call whose answer comes later, from any thread. The first of answer and cancellation
// wins; a late answer is dropped. It keeps itself alive until gRPC is done with it; whoever answers
// later holds a share of it.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <utility>

#include "proto/status_codec/status_codec.h"

namespace flodea::control {

template <class Response>
class DeferredReply final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<DeferredReply<Response>> {
 public:
  static std::shared_ptr<DeferredReply> make(Response* response) {
    auto reply = std::make_shared<DeferredReply>(response);
    reply->self_ = reply;
    return reply;
  }
  explicit DeferredReply(Response* response) : response_(response) {}

  void answer(Response value) {
    if (!take_turn([&] { *response_ = std::move(value); })) return;
    this->Finish(grpc::Status::OK);
  }
  void refuse(const Error& error) {
    if (take_turn([] {})) this->Finish(to_grpc_status(error));
  }
  // Answered, refused or cancelled: nothing that comes is heard.
  bool settled() const {
    std::lock_guard lock(mutex_);
    return settled_;
  }
  // `encode` makes the Response of a value.
  template <class T, class Encode>
  void settle(Result<T> result, Encode encode) {
    if (!result) return refuse(result.error());
    answer(encode(*result));
  }

 private:
  template <class Fill>
  bool take_turn(Fill fill) {
    std::lock_guard lock(mutex_);
    if (std::exchange(settled_, true)) return false;
    fill();
    return true;
  }
  void OnCancel() override {
    auto keep = this->shared_from_this();
    if (take_turn([] {}))
      this->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the client"));
  }
  void OnDone() override { auto last = std::move(self_); }

  mutable std::mutex mutex_;
  bool settled_ = false;  // under mutex_
  Response* response_;    // valid until Finish
  std::shared_ptr<DeferredReply> self_;
};

}  // namespace flodea::control
