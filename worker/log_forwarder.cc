#include "worker/log_forwarder.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

namespace flodea::worker {
namespace {
constexpr std::size_t kReadChunk = 8 * 1024;
}

LogForwarder::~LogForwarder() {
  for (Source& source : sources_) {
    if (source.watched) loop_.unwatch(source.fd.get());
  }
  if (pipe_watched_) loop_.unwatch(pipe_);
}

Status LogForwarder::start(UniqueFd stdout_pipe, UniqueFd stderr_pipe, WhenFull when_full) {
  when_full_ = when_full;
  sources_[0].fd = std::move(stdout_pipe);
  sources_[1].fd = std::move(stderr_pipe);
  update_interest();
  return {};
}

void LogForwarder::say(std::string_view text) {
  append(LogStream::kSystem, 0, text.substr(0, LogFrame::kMaxText));
  write_pending();
  update_interest();
}

void LogForwarder::when_finished(std::function<void()> done) {
  done_ = std::move(done);
  check_finished();
}

void LogForwarder::read_source(Source& source) {
  std::array<char, kReadChunk> chunk;
  ssize_t n = ::read(source.fd.get(), chunk.data(), chunk.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    end_source(source);
  } else {
    source.splitter.feed(
        {chunk.data(), static_cast<std::size_t>(n)},
        [&](std::string_view text, bool partial) { take_line(source.stream, text, partial); });
  }
  write_pending();
  update_interest();
  check_finished();
}

void LogForwarder::end_source(Source& source) {
  source.splitter.finish(
      [&](std::string_view text, bool partial) { take_line(source.stream, text, partial); });
  if (source.watched) loop_.unwatch(source.fd.get());
  source.watched = false;
  source.fd.reset();
}

void LogForwarder::take_line(LogStream stream, std::string_view text, bool partial) {
  if (when_full_ == WhenFull::kDrop && full()) {
    ++lost_;
    page_.add_log_dropped(1);
    return;
  }
  append_loss();
  append(stream, partial ? LogFrame::kPartial : 0, text);
}

void LogForwarder::append_loss() {
  if (lost_ == 0) return;
  append(LogStream::kSystem, LogFrame::kLinesDropped, std::to_string(lost_));
  lost_ = 0;
}

void LogForwarder::append(LogStream stream, std::uint8_t flags, std::string_view text) {
  append_log_frame({.seq = ++seq_,
                    .time_ns = clock_.wall().count(),
                    .stream = stream,
                    .flags = flags,
                    .text = std::string(text)},
                   pending_);
}

void LogForwarder::write_pending() {
  while (written_ < pending_.size()) {
    ssize_t n = ::write(pipe_, pending_.data() + written_, pending_.size() - written_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // EAGAIN: full. Nothing else can be: the worker holds the read end too
    written_ += static_cast<std::size_t>(n);
  }
  if (written_ < pending_.size()) {
    if (written_ > kMaxPending) pending_.erase(0, std::exchange(written_, 0));
    return;
  }
  pending_.clear();
  written_ = 0;
  if (pending_.capacity() > kMaxPending) pending_.shrink_to_fit();
  page_.set_log_seq(seq_);
}

void LogForwarder::update_interest() {
  bool read = when_full_ == WhenFull::kDrop || !full();
  for (Source& source : sources_) {
    if (!source.fd || source.watched == read) continue;
    source.watched = read;
    if (!read) {
      loop_.unwatch(source.fd.get());
    } else if (!loop_.watch(source.fd.get(), EPOLLIN,
                            [this, &source](std::uint32_t) { read_source(source); })) {
      end_source(source);
    }
  }
  bool waiting = !pending_.empty();
  if (waiting == pipe_watched_) return;
  pipe_watched_ = waiting;
  if (!waiting) return loop_.unwatch(pipe_);
  auto watched = loop_.watch(pipe_, EPOLLOUT, [this](std::uint32_t) {
    write_pending();
    update_interest();
    check_finished();
  });
  if (!watched) pipe_watched_ = false;
}

void LogForwarder::check_finished() {
  bool ended = !sources_[0].fd && !sources_[1].fd;
  if (ended && lost_ > 0 && !full()) {
    append_loss();
    write_pending();
    update_interest();
  }
  if (ended && pending_.empty() && lost_ == 0 && done_) std::exchange(done_, nullptr)();
}

}  // namespace flodea::worker
