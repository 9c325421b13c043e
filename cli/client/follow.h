// A stream that is followed over restarts of the supervisor: when the connection is lost, it is
// made again and the stream goes on from a cursor of the caller's. So nothing is lost and nothing
// comes twice.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cli/client/client.h"

namespace flodea::cli {

// How long a supervisor may be away.
inline constexpr Nanos kPatience = std::chrono::seconds(30);

// Gives a lost supervisor time to come back. Says once, on stderr, that it waits.
class Reconnect {
 public:
  explicit Reconnect(std::string socket) : socket_(std::move(socket)) {}
  // Was the stream ended by the loss of the supervisor, not by its answer?
  static bool is_loss(const grpc::Status& status);
  // A new connection, once there is one. `why`: returned where it does not come back in time.
  Result<std::unique_ptr<Client>> again(const Error& why);
  void received() { lost_at_.reset(); }  // it is back: the time begins anew with the next loss

 private:
  std::string socket_;
  std::optional<std::chrono::steady_clock::time_point> lost_at_;
  bool said_ = false;
};

// `open` starts the stream at the caller's cursor; `take` is given each message and moves the
// cursor, false: it is enough.
template <class Message>
Result<grpc::Status> follow(std::unique_ptr<Client> client,
                            const std::function<std::unique_ptr<grpc::ClientReader<Message>>(
                                Client&, grpc::ClientContext&)>& open,
                            const std::function<bool(const Message&)>& take) {
  Reconnect reconnect(client->socket());
  for (;;) {
    grpc::ClientContext context;
    auto reader = open(*client, context);
    Message message;
    while (reader->Read(&message)) {
      reconnect.received();
      if (take(message)) continue;
      context.TryCancel();
      (void)reader->Finish();
      return grpc::Status::OK;
    }
    grpc::Status status = reader->Finish();
    if (!Reconnect::is_loss(status)) return status;
    client = TRY(reconnect.again(error_of(status, client->socket())));
  }
}

}  // namespace flodea::cli
