#include "worker/line_connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace flodea::worker {

LineConnection::LineConnection(EventLoop& loop, UniqueFd socket, std::size_t max_line,
                               Handler& handler)
    : loop_(loop), socket_(std::move(socket)), max_line_(max_line), handler_(handler) {}

LineConnection::~LineConnection() {
  if (socket_) loop_.unwatch(socket_.get());
}

Status LineConnection::start() {
  int flags = ::fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("fcntl");
  interest_ = EPOLLIN;
  return loop_.watch(socket_.get(), interest_, [this](std::uint32_t events) { on_event(events); });
}

void LineConnection::on_event(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if (!socket_) return;
  if ((events & EPOLLIN) != 0) return read_some();
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) close();
}

void LineConnection::read_some() {
  std::array<char, kReadChunk> chunk;
  ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return close();
  if (n < 0) return;
  input_.append(chunk.data(), static_cast<std::size_t>(n));
  take_lines();
}

void LineConnection::take_lines() {
  if (taking_) return;
  taking_ = true;
  std::size_t start = 0;
  while (socket_ && !congested()) {
    auto end = input_.find('\n', start);
    bool whole = end != std::string::npos;
    std::size_t length = (whole ? end : input_.size()) - start;
    if (!skipping_ && length > max_line_) {
      skipping_ = true;
      handler_.on_line_too_long();
    }
    if (!whole && !skipping_) break;
    if (!skipping_) handler_.on_line(std::string_view(input_).substr(start, length));
    start += length + (whole ? 1 : 0);
    if (!whole) break;
    skipping_ = false;
  }
  taking_ = false;
  input_.erase(0, start);
  if (input_.empty() && input_.capacity() > kReadChunk) input_.shrink_to_fit();
  if (socket_) update_interest();
}

void LineConnection::send(std::string_view lines) {
  if (!socket_) return;
  queue_ += lines;
  flush();
}

void LineConnection::flush() {
  std::size_t sent = 0;
  while (sent < queue_.size()) {
    ssize_t n = ::send(socket_.get(), queue_.data() + sent, queue_.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // EAGAIN: later; EPIPE: the next event says so
    sent += static_cast<std::size_t>(n);
  }
  bool was_congested = congested();
  queue_.erase(0, sent);
  if (queue_.empty() && queue_.capacity() > kReadChunk) queue_.shrink_to_fit();
  update_interest();
  if (!was_congested || congested()) return;
  handler_.on_drained();
  if (socket_) take_lines();
}

void LineConnection::update_interest() {
  std::uint32_t wanted = (congested() ? 0U : EPOLLIN) | (queue_.empty() ? 0U : EPOLLOUT);
  if (wanted == interest_) return;
  interest_ = wanted;
  if (!loop_.change(socket_.get(), wanted)) close();
}

void LineConnection::close() {
  if (!socket_) return;
  loop_.unwatch(socket_.get());
  socket_.reset();
  queue_.clear();
  handler_.on_closed();
}

}  // namespace flodea::worker
