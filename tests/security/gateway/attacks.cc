#include "tests/security/gateway/attacks.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <vector>

#include "supervisor/control/guard/testing/frames.h"

namespace flodea::testing {
namespace {

using namespace control::testing;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBudget{4000};   // of an attack that is not to end its connection
constexpr milliseconds kStalled{1000};  // taken as "it will not take more"
constexpr milliseconds kGuard{30'000};  // of one that is, only against a hang
constexpr int kStreams = 100'000;

std::string literal(const std::string& text) { return static_cast<char>(text.size()) + text; }
// A gRPC request's header block in plain HPACK (RFC 7541), nothing indexed.
std::string request_block(const std::string& path) {
  return std::string("\x83\x86\x04") + literal(path) + "\x01" + literal("control") + "\x0f\x10" +
         literal("application/grpc") + std::string("\0", 1) + literal("te") + literal("trailers");
}
std::string open_call(std::uint32_t stream, const std::string& path) {
  return frame(kHeaders, kEndHeaders, stream, request_block(path));
}
std::string message_prefix(std::uint32_t length) {
  return std::string("\0", 1) + big_endian(length, 4);
}

// The attacker's end: sends as much as is taken, reads or not.
class Peer {
 public:
  Peer(const UniqueFd& socket, Until until)
      : fd_(socket.get()),
        until_(until),
        end_(SteadyClock::now() + (until == Until::kClosed ? kGuard : kBudget)) {}

  // False: over, for one reason or another.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) {
        outcome.accepted += static_cast<std::uint64_t>(n);
        bytes.remove_prefix(static_cast<std::size_t>(n));
      } else if (errno != EAGAIN || !wait_to_send()) {
        return false;
      }
    }
    return SteadyClock::now() < end_ && !outcome.closed;
  }
  // What is there after at most `patience`; empty: nothing, or the end.
  std::string_view receive(milliseconds patience) {
    if (poll(POLLIN, patience) == 0) return {};
    ssize_t n = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) outcome.closed = true;
    return {buffer_.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
  }
  // Reads and drops until the end of the connection or of patience.
  void drain() {
    while (!outcome.closed && !out_of_time()) {
      if (receive(kStalled).empty() && until_ == Until::kStalled) return;
    }
  }
  bool out_of_time() const { return SteadyClock::now() >= end_; }

  Outcome outcome;

 private:
  // What of `events` there is after at most `patience`, and whether it is over.
  short poll(short events, milliseconds patience) const {
    pollfd poll_fd{fd_, events, 0};
    return ::poll(&poll_fd, 1, static_cast<int>(patience.count())) > 0 ? poll_fd.revents : 0;
  }
  bool wait_to_send() {
    short ready = poll(POLLOUT, kStalled);
    while (ready == 0 && until_ == Until::kClosed && !out_of_time()) {
      receive(milliseconds(0));  // the other end may wait for that
      ready = poll(POLLOUT, kStalled);
    }
    if ((ready & (POLLHUP | POLLERR)) != 0) outcome.closed = true;
    return ready != 0 && !outcome.closed;
  }

  int fd_;
  Until until_;
  SteadyClock::time_point end_;
  std::array<char, 65536> buffer_{};
};

Outcome finish(Peer& peer) {
  peer.drain();
  return peer.outcome;
}

Outcome repeat(const UniqueFd& socket, Until until, const std::string& start, int times,
               const std::function<std::string(int)>& next) {
  Peer peer(socket, until);
  bool goes_on = peer.send(kPreface + settings() + start);
  std::string batch;
  for (int i = 0; i < times && goes_on; ++i) {
    batch += next(i);
    if (batch.size() < 32'768 && i + 1 < times) continue;
    goes_on = peer.send(batch);
    batch.clear();
  }
  return finish(peer);
}

std::uint32_t stream_of(int i) { return 2 * static_cast<std::uint32_t>(i) + 1; }

Outcome garbage(const UniqueFd& socket, Until until) {
  Peer peer(socket, until);
  peer.send(std::string(1 << 20, '\x5a'));
  return finish(peer);
}

Outcome garbage_after_preface(const UniqueFd& socket, Until until) {
  return repeat(socket, until, "", 64, [](int) { return std::string(16'384, '\xa5'); });
}

Outcome long_message(const UniqueFd& socket, Until until) {
  std::string start =
      open_call(1, "/flodea.kernel.v1.Clock/Now") + frame(kData, 0, 1, message_prefix(1u << 30));
  return repeat(socket, until, start, 1000, [](int) { return data(1, 16'000); });
}

Outcome long_frame(const UniqueFd& socket, Until until) {
  return repeat(socket, until, header(0xffffff, kData, 0, 1), 1000,
                [](int) { return std::string(16'384, 'x'); });
}

Outcome streams(const UniqueFd& socket, Until until, const std::string& start) {
  return repeat(socket, until, start, kStreams, [](int i) {
    return open_call(stream_of(i), "/flodea.kernel.v1.Clock/SleepUntil");
  });
}
Outcome streams_without_ack(const UniqueFd& socket, Until until) {
  return streams(socket, until, "");
}
Outcome streams_with_ack(const UniqueFd& socket, Until until) {
  return streams(socket, until, settings(kAck));
}

Outcome rapid_reset(const UniqueFd& socket, Until until) {
  return repeat(socket, until, settings(kAck), kStreams, [](int i) {
    return open_call(stream_of(i), "/flodea.kernel.v1.Clock/SleepUntil") + reset(stream_of(i));
  });
}

Outcome continuation_flood(const UniqueFd& socket, Until until) {
  return repeat(socket, until, frame(kHeaders, 0, 1, request_block("/a")), 10'000,
                [](int) { return continuation(1, 16'000); });
}

Outcome ping_flood(const UniqueFd& socket, Until until) {
  return repeat(socket, until, "", kStreams, [](int) { return ping(); });
}

Outcome settings_flood(const UniqueFd& socket, Until until) {
  return repeat(socket, until, "", kStreams, [](int) { return settings(); });
}

Outcome empty_frames(const UniqueFd& socket, Until until) {
  return repeat(socket, until, open_call(1, "/flodea.kernel.v1.Clock/Now"), 10 * kStreams,
                [](int) { return data(1, 0); });
}

Outcome half_preface(const UniqueFd& socket, Until until) {
  Peer peer(socket, until);
  peer.send(kPreface.substr(0, 12));
  return finish(peer);
}

// Asks for pages of half a megabyte on every stream there may be, with windows wide open, and reads
// nothing. (A worker stopped by SIGSTOP looks the same from here.)
Outcome reads_nothing(const UniqueFd& socket, Until until) {
  Peer peer(socket, until);
  std::string start = kPreface +
                      frame(kSettings, 0, 0, big_endian(4, 2) + big_endian(0x7fffffff, 4)) +
                      window_update(0, 0x7ffe0000);
  for (int i = 0; i < 64; ++i) {
    start += open_call(stream_of(i), "/flodea.storage.v1.Store/List");
    start += frame(kData, kEndStream, stream_of(i), message_prefix(0));
  }
  peer.send(start);
  pollfd never{socket.get(), 0, 0};
  int ended = ::poll(&never, 1, static_cast<int>(kStalled.count()) * 2);
  peer.outcome.closed = ended > 0;
  return peer.outcome;
}

// Begins a message of nearly a megabyte on every stream, within the windows it is given, and ends
// none.
class HalfMessages {
 public:
  HalfMessages(const UniqueFd& socket, Until until) : peer_(socket, until) {}

  Outcome run() {
    std::string start = kPreface + settings() + settings(kAck);
    for (int i = 0; i < kCalls; ++i) {
      start += open_call(stream_of(i), "/flodea.storage.v1.Store/Commit");
      start += frame(kData, 0, stream_of(i), message_prefix(kMessage + 5));
    }
    bool goes_on = peer_.send(start);
    while (goes_on && !peer_.out_of_time()) {
      bool sent = send_what_may_be_sent(goes_on);
      std::string_view got = peer_.receive(sent ? milliseconds(0) : kStalled);
      if (got.empty() && !sent) break;
      inbox_.append(got);
      take_frames();
    }
    return peer_.outcome;
  }

 private:
  static constexpr int kCalls = 64;
  static constexpr std::uint32_t kMessage = 1'000'000;

  bool send_what_may_be_sent(bool& goes_on) {
    bool sent = false;
    for (int i = 0; i < kCalls && goes_on; ++i) {
      std::int64_t n = std::min({stream_window_[i] + initial_, connection_, std::int64_t{8'000},
                                 std::int64_t{kMessage} - sent_[i]});
      if (n <= 0) continue;
      goes_on = peer_.send(data(stream_of(i), static_cast<std::uint32_t>(n)));
      stream_window_[i] -= n;
      connection_ -= n;
      sent_[i] += n;
      sent = true;
    }
    return sent;
  }
  std::uint32_t word(std::size_t at, int bytes) const {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(inbox_[at + i]);
    return value;
  }
  void take_frames() {
    while (inbox_.size() >= 9 && inbox_.size() >= 9 + word(0, 3)) {
      on_frame(static_cast<std::uint8_t>(inbox_[3]), word(0, 3), word(5, 4));
      inbox_.erase(0, 9 + word(0, 3));
    }
  }
  void on_frame(std::uint8_t type, std::uint32_t length, std::uint32_t stream) {
    if (type == kWindowUpdate && stream == 0) connection_ += word(9, 4);
    if (type == kWindowUpdate && stream / 2 < kCalls && stream != 0) {
      stream_window_[stream / 2] += word(9, 4);
    }
    for (std::size_t at = 9; type == kSettings && at + 6 <= 9 + length; at += 6) {
      if (word(at, 2) == 4) initial_ = word(at + 2, 4);
    }
  }

  Peer peer_;
  std::string inbox_;
  std::int64_t initial_ = 65'535;
  std::int64_t connection_ = 65'535 - kCalls * 5;
  std::array<std::int64_t, kCalls> stream_window_{};
  std::array<std::int64_t, kCalls> sent_{};
};

Outcome half_messages(const UniqueFd& socket, Until until) {
  return HalfMessages(socket, until).run();
}

}  // namespace

const std::map<std::string, Attack>& attacks() {
  static const std::map<std::string, Attack> all = {
      {"garbage", garbage},
      {"garbage_after_preface", garbage_after_preface},
      {"long_message", long_message},
      {"long_frame", long_frame},
      {"streams_without_ack", streams_without_ack},
      {"streams_with_ack", streams_with_ack},
      {"rapid_reset", rapid_reset},
      {"continuation_flood", continuation_flood},
      {"ping_flood", ping_flood},
      {"settings_flood", settings_flood},
      {"empty_frames", empty_frames},
      {"half_preface", half_preface},
      {"reads_nothing", reads_nothing},
      {"half_messages", half_messages},
  };
  return all;
}

}  // namespace flodea::testing
