#include "supervisor/control/monitoring/log_pipe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace flodea::control {
namespace {

constexpr std::size_t kMaxNotes = 16;  // of one batch: notes must not outgrow what they speak of
constexpr int kTeePipeBytes =
    1 << 20;  // as many slots as an unprivileged writer can give the kept pipe

void note(FrameBatch& batch, std::int64_t time_ns, std::string text) {
  if (batch.complaint.empty()) batch.complaint = text;
  if (++batch.notes > kMaxNotes) return;
  batch.frames.push_back(
      {.time_ns = time_ns, .stream = LogStream::kSystem, .text = std::move(text)});
  const LogFrame& line = batch.frames.back();
  batch.records.push_back({line.stream, line.flags, line.time_ns, line.text});
}

void keep(FrameBatch& batch, LogFrame frame) {
  batch.last_seq = frame.seq;
  batch.text_bytes += frame.text.size();
  ++batch.new_frames;
  batch.frames.push_back(std::move(frame));
  const LogFrame& line = batch.frames.back();
  batch.records.push_back({line.stream, line.flags, line.time_ns, line.text});
}

}  // namespace

Result<LogTee> LogTee::create() {
  UniqueFd null = TRY(adopt_fd(::open("/dev/null", O_WRONLY | O_CLOEXEC), "open /dev/null"));
  LogTee tee(std::move(null));
  TRY(tee.make_own());
  return tee;
}

Status LogTee::make_own() {
  own_ = TRY(make_pipe(O_NONBLOCK));
  (void)::fcntl(own_.second.get(), F_SETPIPE_SZ,
                kTeePipeBytes);  // smaller only makes a turn shorter
  return {};
}

Result<std::string_view> LogTee::peek(int pipe, std::size_t max) {
  if (!own_.first.valid()) TRY(make_own());
  ssize_t copied = ::tee(pipe, own_.second.get(), std::min(max, buffer_.size()), SPLICE_F_NONBLOCK);
  if (copied < 0 && (errno == EAGAIN || errno == EINTR)) return std::string_view();
  if (copied < 0) return fail_errno("tee log pipe");
  auto have = read_own(static_cast<std::size_t>(copied));
  if (!have) {
    own_ = {};  // what is left in it must not be taken for the next pipe's
    return tl::unexpected(std::move(have).error());
  }
  return std::string_view(buffer_.data(), *have);
}

Result<std::size_t> LogTee::read_own(std::size_t bytes) {
  std::size_t have = 0;
  while (have < bytes) {
    ssize_t n = ::read(own_.first.get(), buffer_.data() + have, bytes - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read teed log frames");
    if (n == 0) return fail(Code::kInternal, "read teed log frames: less than was copied");
    have += static_cast<std::size_t>(n);
  }
  return have;
}

Status LogTee::discard(int pipe, std::size_t bytes) {
  while (bytes > 0) {
    ssize_t n = ::splice(pipe, nullptr, null_.get(), nullptr, bytes, SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("consume log pipe");
    if (n == 0) return fail(Code::kDataLoss, "consume log pipe: it holds less than was seen in it");
    bytes -= static_cast<std::size_t>(n);
  }
  return {};
}

FrameBatch read_frames(std::string_view buffer, std::uint64_t last_seq, bool& resumed) {
  FrameBatch batch;
  batch.last_seq = last_seq;
  while (batch.consumed < buffer.size()) {
    auto parsed = parse_log_frame(buffer.substr(batch.consumed));
    if (!parsed) {
      batch.broken = true;
      note(batch, INT64_MAX, "the worker's log pipe is closed: " + parsed.error().message);
      break;
    }
    if (!*parsed) break;
    batch.consumed += (*parsed)->bytes;
    LogFrame frame = std::move((*parsed)->frame);
    if (frame.seq <= batch.last_seq) {
      if (!resumed) {
        note(batch, frame.time_ns,
             fmt::format("a log line with number {} came after number {}; it is left out",
                         frame.seq, batch.last_seq));
      }
      continue;
    }
    resumed = false;
    if (auto missing = frame.seq - batch.last_seq - 1; missing > 0) {
      note(batch, frame.time_ns, fmt::format("{} log lines are missing here", missing));
    }
    keep(batch, std::move(frame));
  }
  return batch;
}

}  // namespace flodea::control
