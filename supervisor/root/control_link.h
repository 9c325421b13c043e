// The socket to the present flodea-control. What does not fit into it waits here, in order, up to a
// bound past which control is taken for dead.
#pragma once

#include <deque>

#include "base/event_loop.h"
#include "base/fd_message.h"
#include "flodea/root/v1/root.pb.h"

namespace flodea::root {

class ControlLink {
 public:
  static constexpr std::size_t kMaxWaiting = 4096;
  using OnMessage = std::function<void(FdMessage)>;
  using OnBroken = std::function<void(const std::string& why)>;

  ControlLink(EventLoop& loop, OnMessage on_message, OnBroken on_broken)
      : loop_(loop), on_message_(std::move(on_message)), on_broken_(std::move(on_broken)) {}

  Status connect(UniqueFd socket);  // O_NONBLOCK; of a new life
  void disconnect();
  bool connected() const { return socket_.valid(); }
  std::uint64_t life() const {
    return life_;
  }  // of the connection: a reply belongs to the life that asked

  void send(const v1::Reply& reply, std::span<const int> fds = {});

 private:
  void on_events(std::uint32_t events);
  void flush();
  Status queue(const v1::Reply& reply, std::span<const int> fds);

  EventLoop& loop_;
  OnMessage on_message_;
  OnBroken on_broken_;
  UniqueFd socket_;
  std::uint64_t life_ = 0;
  std::deque<FdMessage> waiting_;
};

}  // namespace flodea::root
