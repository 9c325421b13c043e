// Lines over a stream socket whose other end is not trusted. Bounded both ways: at most one line
// beyond kReadChunk is held, and while more than kMaxQueued bytes wait to be read by the peer
// nothing of it is read: a peer that does not read its replies stops itself. Belongs to the loop's
// thread.
#pragma once

#include <string>
#include <string_view>

#include "base/event_loop.h"

namespace flodea::worker {

class LineConnection {
 public:
  static constexpr std::size_t kReadChunk = 64 * 1024;
  static constexpr std::size_t kMaxQueued = 256 * 1024;

  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_line(
        std::string_view line) = 0;       // without its '\n'; the view dies with the call
    virtual void on_line_too_long() = 0;  // once a line; the rest of it is skipped
    virtual void on_drained() = 0;        // the queue is short again
    virtual void on_closed() = 0;         // the peer is gone; nothing is called after this
  };

  // `socket` is made O_NONBLOCK. `max_line` counts the bytes before '\n'.
  LineConnection(EventLoop& loop, UniqueFd socket, std::size_t max_line, Handler& handler);
  ~LineConnection();
  LineConnection(const LineConnection&) = delete;

  Status start();
  // Queues whole lines and sends what the socket takes.
  void send(std::string_view lines);
  bool congested() const { return queue_.size() > kMaxQueued; }
  bool open() const { return socket_.valid(); }

 private:
  void on_event(std::uint32_t events);
  void read_some();
  void take_lines();
  void flush();
  void update_interest();
  void close();

  EventLoop& loop_;
  UniqueFd socket_;
  std::size_t max_line_;
  Handler& handler_;
  std::string input_;
  std::string queue_;
  bool skipping_ = false;  // in the rest of a line that was too long
  bool taking_ = false;    // in take_lines: it is not entered again from a handler's send
  std::uint32_t interest_ = 0;
};

}  // namespace flodea::worker
