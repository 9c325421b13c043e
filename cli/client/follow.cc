#include "cli/client/follow.h"

#include <fmt/format.h>
#include <poll.h>

#include <cstdio>
#include <utility>

namespace flodea::cli {
namespace {

constexpr int kPauseMs = 100;  // between two attempts

}  // namespace

bool Reconnect::is_loss(const grpc::Status& status) {
  bool ended = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
               status.error_code() == grpc::StatusCode::CANCELLED;
  return ended && status.error_details().empty();
}

Result<std::unique_ptr<Client>> Reconnect::again(const Error& why) {
  auto now = std::chrono::steady_clock::now();
  if (!lost_at_) lost_at_ = now;
  if (!std::exchange(said_, true)) {
    fmt::print(stderr, "flodea: the supervisor is away; going on once it is back within {} s\n",
               std::chrono::duration_cast<std::chrono::seconds>(kPatience).count());
  }
  Error last = why;
  while (std::chrono::steady_clock::now() - *lost_at_ < kPatience) {
    // Nothing tells that a socket which refuses has begun to listen.
    (void)::poll(nullptr, 0, kPauseMs);
    auto client = Client::connect(socket_);
    if (client) return client;
    last = std::move(client).error();
  }
  return tl::unexpected(std::move(last));
}

}  // namespace flodea::cli
