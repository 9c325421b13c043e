#include "supervisor/control/guard/frame_scanner.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace flodea::control {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr std::uint8_t kAck = 0x1;
constexpr std::uint8_t kEndStream = 0x1;
constexpr std::uint8_t kEndHeaders = 0x4;
constexpr std::uint32_t kContinuationCost = 64;  // so that empty ones count too
constexpr std::uint32_t kMaxWindow = 0x7fffffff;

void append_window_update(std::uint32_t stream, std::uint32_t increment, std::string& out) {
  const std::uint32_t words[] = {stream, increment};
  out.append({'\0', '\0', '\4', static_cast<char>(kWindowUpdate), '\0'});
  for (std::uint32_t word : words) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(word >> shift));
  }
}

}  // namespace

FrameScanner::Header FrameScanner::parse(const std::array<std::uint8_t, kHeaderBytes>& b) {
  auto word = [&b](std::size_t i) { return static_cast<std::uint32_t>(b[i]); };
  return {.length = word(0) << 16 | word(1) << 8 | word(2),
          .type = b[3],
          .flags = b[4],
          .stream = (word(5) & 0x7f) << 24 | word(6) << 16 | word(7) << 8 | word(8)};
}

FrameScanner::Stream* FrameScanner::find(std::uint32_t id) {
  auto it = std::ranges::lower_bound(streams_, id, {}, &Stream::id);
  return it != streams_.end() && it->id == id ? &*it : nullptr;
}

FrameScanner::Decision FrameScanner::take(TokenBucket& bucket, const char* limit, Nanos now) {
  if (bucket.take(now)) return {};
  return {Verdict::kWait, limit, &bucket};
}

bool FrameScanner::scan_preface(std::span<const std::uint8_t>& bytes) {
  std::size_t n = std::min(bytes.size(), kPreface.size() - preface_seen_);
  for (std::size_t i = 0; i < n; ++i) {
    if (bytes[i] != static_cast<std::uint8_t>(kPreface[preface_seen_ + i])) return false;
  }
  preface_seen_ += n;
  bytes = bytes.subspan(n);
  return true;
}

ScanResult FrameScanner::scan_request(std::span<const std::uint8_t> bytes, Nanos now) {
  auto rest = bytes;
  if (!scan_preface(rest)) return {.verdict = Verdict::kClose, .limit = "preface"};
  while (!rest.empty()) {
    if (request_.payload_left > 0) {
      std::size_t n = std::min<std::size_t>(rest.size(), request_.payload_left);
      request_.payload_left -= static_cast<std::uint32_t>(n);
      rest = rest.subspan(n);
      note_asked(now);
      continue;
    }
    request_.bytes[request_.have] = rest.front();
    if (request_.have + 1 < kHeaderBytes) {
      ++request_.have;
      rest = rest.subspan(1);
      continue;
    }
    Header header = parse(request_.bytes);
    Decision decision = decide(header, now);
    std::size_t consumed = bytes.size() - rest.size();
    // The last byte of the header stays unread: the frame is decided on anew when it is given
    // again.
    if (decision.verdict == Verdict::kWait) {
      bool new_wait = !std::exchange(waiting_, true);
      return {Verdict::kWait, consumed, decision.limit, now + decision.bucket->wait_for(1, now),
              new_wait};
    }
    if (decision.verdict == Verdict::kClose) {
      return {.verdict = Verdict::kClose, .consumed = consumed, .limit = decision.limit};
    }
    waiting_ = false;
    greeted_ = true;
    request_.have = 0;
    request_.payload_left = header.length;
    rest = rest.subspan(1);
    asking_ = header;
    bool control = header.type == kSettings || header.type == kPing;
    if (control && (header.flags & kAck) == 0) ++controls_;
    note_asked(now);
  }
  return {.verdict = Verdict::kPass, .consumed = bytes.size()};
}

// Of those frames that have one (RFC 9113 §6.4, 6.5, 6.7, 6.9): what is larger is for no parser.
bool FrameScanner::has_its_length(const Header& header) {
  switch (header.type) {
    case kRstStream:
    case kWindowUpdate:
      return header.length == 4;
    case kPing:
      return header.length == 8;
    case kSettings:
      return (header.flags & kAck) == 0 || header.length == 0;
    default:
      return true;
  }
}

FrameScanner::Decision FrameScanner::decide(const Header& header, Nanos now) {
  if (header.length > limits_.frame_bytes) return close("frame_bytes");
  if (!has_its_length(header)) return close("protocol");
  if (continued_stream_ != 0 || header.type == kContinuation) return on_continuation(header);
  switch (header.type) {
    case kData:
      return on_data(header, now);
    case kHeaders:
      return on_headers(header, now);
    case kRstStream:
      return on_reset(header, now);
    case kWindowUpdate:
      return take(budget_.frames, "frames", now);
    case kPushPromise:
      return close("protocol");
    default:
      return budget_.control.take(now) ? Decision{} : close("control_frames");
  }
}

// A gRPC server buffers what comes before it looks at windows, so they are kept here too.
FrameScanner::Decision FrameScanner::on_data(const Header& header, Nanos now) {
  if (header.stream == 0 || header.stream > last_stream_) return close("protocol");
  Stream* stream = find(header.stream);
  if (header.length > window_ || (stream != nullptr && header.length > stream->window)) {
    return close("flow_control");
  }
  if (Decision wait = take(budget_.frames, "frames", now); wait.bucket != nullptr) return wait;
  budget_.charge_payload(header.length);
  window_ -= header.length;
  if (stream != nullptr) stream->window -= header.length;
  return {};
}

FrameScanner::Decision FrameScanner::on_headers(const Header& header, Nanos now) {
  if (header.stream % 2 == 0) return close("protocol");  // 0, or a server's
  if (header.length > limits_.header_block_bytes) return close("header_block");
  if (header.stream <= last_stream_) {  // trailers, which no gRPC client sends
    if (!budget_.control.take(now)) return close("control_frames");
  } else {
    if (streams_.size() >= limits_.open_streams) return close("open_streams");
    if (Decision wait = take(budget_.calls, "calls", now); wait.bucket != nullptr) return wait;
    last_stream_ = header.stream;
    streams_.push_back({.id = header.stream});
  }
  header_block_ = header.length;
  if ((header.flags & kEndHeaders) == 0) continued_stream_ = header.stream;
  return {};
}

FrameScanner::Decision FrameScanner::on_continuation(const Header& header) {
  if (header.type != kContinuation || header.stream != continued_stream_) return close("protocol");
  header_block_ += header.length + kContinuationCost;
  if (header_block_ > limits_.header_block_bytes) return close("header_block");
  if ((header.flags & kEndHeaders) != 0) continued_stream_ = 0;
  return {};
}

FrameScanner::Decision FrameScanner::on_reset(const Header& header, Nanos now) {
  if (header.stream == 0 || header.stream > last_stream_) return close("protocol");
  if (Decision wait = take(budget_.resets, "resets", now); wait.bucket != nullptr) return wait;
  never_answered_ = now;
  end_stream(header.stream);
  return {};
}

void FrameScanner::note_asked(Nanos now) {
  switch (asking_.type) {
    case kData:
    case kHeaders:
    case kContinuation:
      if (Stream* stream = find(asking_.stream))
        stream->asked = true;
      else
        never_answered_ = now;
      return;
    case kRstStream:     // see on_reset
    case kWindowUpdate:  // a number
      return;
    case kSettings:
    case kPing:
      if ((asking_.flags & kAck) != 0) return;
      control_asked_ = now;
      return;
    default:
      never_answered_ = now;
  }
}

void FrameScanner::note_reply(const Header& header) {
  if (header.type == kData || header.type == kHeaders) {
    if (Stream* stream = find(header.stream)) stream->asked = false;
  } else if ((header.type == kSettings || header.type == kPing) && (header.flags & kAck) != 0) {
    if (controls_ > 0) --controls_;
  }
}

Nanos FrameScanner::unanswered() const {
  if (std::ranges::any_of(streams_, &Stream::asked)) return CallMarks::Row::kAtIt;
  return std::max(controls_ > 0 ? control_asked_ : Nanos{}, never_answered_);
}

void FrameScanner::end_stream(std::uint32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  granted_ -= stream->granted;
  streams_.erase(streams_.begin() + (stream - streams_.data()));
  release_windows();
}

void FrameScanner::release_windows() {
  bool oldest = true;
  for (Stream& stream : streams_) {
    std::uint32_t left = limits_.stream_credit - std::min(limits_.stream_credit, stream.granted);
    std::uint32_t grant = std::min(stream.held, left);
    if (grant > 0 && (oldest || granted_ + grant <= limits_.window_credit)) {
      append_window_update(stream.id, grant, released_);
      granted_ += grant;
      stream.granted += grant;
      stream.window += grant;
      stream.held -= grant;
    }
    oldest = false;
  }
}

void FrameScanner::filter_reply(std::span<const std::uint8_t> bytes, std::string& out) {
  while (!bytes.empty()) {
    if (reading_increment_) {
      increment_[increment_have_++] = bytes.front();
      bytes = bytes.subspan(1);
      if (increment_have_ == increment_.size()) take_increment(out);
    } else if (reply_.payload_left > 0) {
      std::size_t n = std::min<std::size_t>(bytes.size(), reply_.payload_left);
      out.append(reinterpret_cast<const char*>(bytes.data()), n);
      reply_.payload_left -= static_cast<std::uint32_t>(n);
      bytes = bytes.subspan(n);
    } else {
      bytes = filter_header(bytes, out);
    }
    take_released(out);
  }
}

std::span<const std::uint8_t> FrameScanner::filter_header(std::span<const std::uint8_t> bytes,
                                                          std::string& out) {
  std::size_t n = std::min(bytes.size(), kHeaderBytes - reply_.have);
  std::copy_n(bytes.begin(), n, reply_.bytes.begin() + static_cast<std::ptrdiff_t>(reply_.have));
  reply_.have += n;
  if (reply_.have == kHeaderBytes) {
    reply_.have = 0;
    on_reply_header(parse(reply_.bytes), out);
  }
  return bytes.subspan(n);
}

void FrameScanner::on_reply_header(const Header& header, std::string& out) {
  if (header.type == kWindowUpdate && header.length == increment_.size()) {
    reading_increment_ = true;
    increment_stream_ = header.stream;
    increment_have_ = 0;
    return;
  }
  out.append(reinterpret_cast<const char*>(reply_.bytes.data()), kHeaderBytes);
  reply_.payload_left = header.length;
  bool opens_block = header.type == kHeaders || header.type == kContinuation;
  if (opens_block) reply_in_header_block_ = (header.flags & kEndHeaders) == 0;
  if (header.type == kData) budget_.charge_payload(header.length);
  note_reply(header);
  bool ends = (header.type == kData || header.type == kHeaders) && (header.flags & kEndStream) != 0;
  if (ends || header.type == kRstStream) end_stream(header.stream);
}

void FrameScanner::take_increment(std::string& out) {
  reading_increment_ = false;
  std::uint32_t value = 0;
  for (std::uint8_t byte : increment_) value = value << 8 | byte;
  value &= kMaxWindow;
  if (increment_stream_ == 0) {
    window_ += value;
    append_window_update(0, value, out);
    return;
  }
  Stream* stream = find(increment_stream_);
  if (stream == nullptr) return;  // ended already: the update is of no use to anybody
  stream->held = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(kMaxWindow, std::uint64_t{stream->held} + value));
  release_windows();
}

void FrameScanner::take_released(std::string& out) {
  bool between_frames = reply_.payload_left == 0 && reply_.have == 0 && !reading_increment_;
  if (!between_frames || reply_in_header_block_ || released_.empty()) return;
  out += released_;
  released_.clear();
}

}  // namespace flodea::control
