// What the guard knows of HTTP/2: the 9-byte frame headers of one connection, in both directions
// (RFC 9113 §4.1). Never payload, never HPACK. Pure: no I/O, the time is passed in; fuzzed.
//
// gRPC 1.51 alone keeps memory and does work for a peer without bound (docs/guard.md has the
// measurements); this is where the bounds are. They come in two kinds: over a *rate* the
// connection waits, over a *limit*, or with a frame that no client sends, it is closed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/call_marks.h"
#include "base/token_bucket.h"

namespace flodea::control {

struct FrameLimits {
  std::uint32_t frame_bytes = 16'384;         // payload of one frame; HTTP/2's own default
  std::uint32_t header_block_bytes = 16'384;  // HEADERS with its CONTINUATIONs
  std::uint32_t open_streams = 72;            // 64 of the agent, 8 of the worker itself
  // Windows beyond the initial ones, see FrameScanner::filter_reply: of all open streams but the
  // oldest, and of any one: a message of 1 MiB, and what gRPC rounds up.
  std::uint32_t window_credit = 1 << 20;
  std::uint32_t stream_credit = (1 << 20) + (64 << 10);
  double frames_per_second = 40'000, frames_burst = 8'000;  // waits
  double resets_per_second = 200, resets_burst = 100;       // waits
  double control_per_second = 200, control_burst = 400;     // PING, SETTINGS, …: closed
  Nanos preface_deadline = std::chrono::seconds(5);         // for the preface and the first frame
};

// The rates of one agent. They outlive its connections, so that a fresh one brings no fresh burst.
struct RateBudget {
  // `calls_per_second` is at least 1.
  RateBudget(const FrameLimits& limits, double calls_per_second)
      : calls(calls_per_second, 2 * calls_per_second),
        frames(limits.frames_per_second, limits.frames_burst),
        resets(limits.resets_per_second, limits.resets_burst),
        control(limits.control_per_second, limits.control_burst) {}

  // One token a call, and one for each 16 KiB of payload in either direction, with a burst of debt
  // at most.
  static constexpr double kBytesPerToken = 16'384;
  void charge_payload(std::uint32_t bytes) { calls.charge(bytes / kBytesPerToken, calls.burst()); }

  TokenBucket calls, frames, resets, control;
};

enum class Verdict { kPass, kWait, kClose };

struct ScanResult {
  Verdict verdict = Verdict::kPass;
  std::size_t consumed = 0;     // bytes that may go on to the server; all of them with kPass
  const char* limit = nullptr;  // kWait: the rate; kClose: the limit
  Nanos until{};                // kWait: scan the rest again then
  bool new_wait = false;        // kWait: this frame had not waited before
};

class FrameScanner {
 public:
  FrameScanner(const FrameLimits& limits, RateBudget& budget) : limits_(limits), budget_(budget) {}

  // Agent → server. With kWait the rest, from `consumed` on, is given again.
  ScanResult scan_request(std::span<const std::uint8_t> bytes, Nanos now);

  // Server → agent: appends to `out` what the agent gets now. Everything passes but WINDOW_UPDATEs
  // of streams: the server grants them as soon as a large message begins, on every stream at once,
  // and holds all that then comes. They pass while the open streams' sum is within window_credit;
  // the others wait for a stream to end. The oldest open stream gets its own whatever the sum, so
  // that one message always moves. None gets more than stream_credit: gRPC 1.51 grants a message
  // the length it says it has, 4 GiB if it likes, and looks at its own limit once all of it is
  // there.
  void filter_reply(std::span<const std::uint8_t> bytes, std::string& out);
  // WINDOW_UPDATEs that a reset by the agent has set free; nothing while a reply frame is half out.
  void take_released(std::string& out);

  // What the server may still be at: CallMarks::Row::kAtIt while a stream has had no reply since
  // bytes of it last passed; else when last passed what nothing answers (a stream's reset, frames
  // of none) or SETTINGS or PINGs that are not all acknowledged. 0: nothing.
  Nanos unanswered() const;

  bool greeted() const { return greeted_; }  // preface and first frame header have come
  std::size_t open_streams() const { return streams_.size(); }

 private:
  static constexpr std::size_t kHeaderBytes = 9;
  struct Header {
    std::uint32_t length;
    std::uint8_t type;
    std::uint8_t flags;
    std::uint32_t stream;
  };
  struct Assembly {  // of one direction
    std::array<std::uint8_t, kHeaderBytes> bytes{};
    std::size_t have = 0;
    std::uint32_t payload_left = 0;
  };
  // RFC 9113 §6.9.2. The server's SETTINGS only lower it, and the agent may not have seen them yet.
  static constexpr std::int64_t kInitialWindow = 65'535;
  struct Stream {
    std::uint32_t id;
    std::int64_t window = kInitialWindow;  // bytes that the agent may send
    std::uint32_t granted = 0;             // of it, beyond the initial window
    std::uint32_t held = 0;                // granted by the server, not passed on yet
    bool asked = false;                    // bytes of it passed that no reply followed
  };
  struct Decision {
    Verdict verdict = Verdict::kPass;
    const char* limit = nullptr;
    TokenBucket* bucket = nullptr;
  };

  static Header parse(const std::array<std::uint8_t, kHeaderBytes>& bytes);
  static Decision close(const char* limit) { return {Verdict::kClose, limit, nullptr}; }
  static bool has_its_length(const Header& header);
  static Decision take(TokenBucket& bucket, const char* limit, Nanos now);
  bool scan_preface(std::span<const std::uint8_t>& bytes);
  Decision decide(const Header& header, Nanos now);
  Decision on_data(const Header& header, Nanos now);
  Decision on_headers(const Header& header, Nanos now);
  Decision on_continuation(const Header& header);
  Decision on_reset(const Header& header, Nanos now);
  void note_asked(Nanos now);
  void note_reply(const Header& header);

  std::span<const std::uint8_t> filter_header(std::span<const std::uint8_t> bytes,
                                              std::string& out);
  void on_reply_header(const Header& header, std::string& out);
  void take_increment(std::string& out);
  void release_windows();
  void end_stream(std::uint32_t id);
  Stream* find(std::uint32_t id);

  FrameLimits limits_;
  RateBudget& budget_;
  std::size_t preface_seen_ = 0;
  bool greeted_ = false;
  Assembly request_;
  Assembly reply_;
  std::array<std::uint8_t, 4> increment_{};  // of the WINDOW_UPDATE being read
  std::size_t increment_have_ = 0;
  bool reading_increment_ = false;
  std::uint32_t increment_stream_ = 0;
  bool reply_in_header_block_ = false;
  bool waiting_ = false;
  std::uint32_t last_stream_ = 0;
  std::uint32_t continued_stream_ = 0;  // 0: no header block is open
  std::uint32_t header_block_ = 0;
  std::vector<Stream> streams_;           // ascending id
  std::uint64_t granted_ = 0;             // sum over streams_
  std::int64_t window_ = kInitialWindow;  // of the connection
  std::string released_;
  Header asking_{};             // the frame whose bytes pass
  std::uint32_t controls_ = 0;  // SETTINGS and PINGs that are not acknowledged
  Nanos control_asked_{};       // the last of them
  Nanos never_answered_{};
};

}  // namespace flodea::control
