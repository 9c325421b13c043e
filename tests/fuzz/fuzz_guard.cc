// The guard's frame scanner against any bytes in both directions. The input is a list of steps: one
// byte says direction, time and length, then the bytes. Checked: it never passes more than it was
// given, never has more streams open than allowed, waits only for a time to come, grants no stream
// more than its credit, and decides the same whether bytes come at once or one by one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "supervisor/control/guard/frame_scanner.h"

namespace {

using namespace flodea;
using namespace flodea::control;

void require(bool holds) {
  if (!holds) std::abort();
}

// One connection, fed either whole steps or single bytes.
class Connection {
 public:
  explicit Connection(bool bytewise) : bytewise_(bytewise) {
    std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    request({reinterpret_cast<const std::uint8_t*>(preface.data()), preface.size()}, Nanos(1));
  }

  void request(std::span<const std::uint8_t> bytes, Nanos now) {
    if (closed) return;
    std::size_t step = bytewise_ ? 1 : std::max<std::size_t>(bytes.size(), 1);
    while (!bytes.empty() && !closed) {
      auto part = bytes.first(std::min(step, bytes.size()));
      ScanResult result = scanner_.scan_request(part, now);
      check(result, part.size(), now);
      passed += result.consumed;
      if (result.verdict == Verdict::kWait) now = result.until;  // the rest is given again then
      bytes = bytes.subspan(result.consumed);
    }
  }
  void reply(std::span<const std::uint8_t> bytes) {
    if (closed) return;
    std::size_t before = out.size();
    if (bytewise_) {
      for (std::size_t i = 0; i < bytes.size(); ++i)
        scanner_.filter_reply(bytes.subspan(i, 1), out);
    } else {
      scanner_.filter_reply(bytes, out);
    }
    // Apart from what was held back, nothing is added.
    require(out.size() - before <= bytes.size() + 13 * (limits_.open_streams + 2) + 13);
  }

  bool closed = false;
  std::size_t passed = 0;
  std::string out;
  std::size_t open_streams() const { return scanner_.open_streams(); }

 private:
  void check(const ScanResult& result, std::size_t given, Nanos now) {
    require(result.consumed <= given);
    require(scanner_.open_streams() <= limits_.open_streams);
    if (result.verdict == Verdict::kPass) require(result.consumed == given);
    if (result.verdict == Verdict::kWait) require(result.until > now && result.limit != nullptr);
    if (result.verdict == Verdict::kClose) require(result.limit != nullptr);
    closed = result.verdict == Verdict::kClose;
  }

  bool bytewise_;
  FrameLimits limits_{.open_streams = 8,
                      .window_credit = 100'000,
                      .stream_credit = 200'000,
                      .frames_per_second = 50,
                      .frames_burst = 20,
                      .resets_per_second = 5,
                      .resets_burst = 5,
                      .control_per_second = 5,
                      .control_burst = 20};
  RateBudget budget_{limits_, 20};
  FrameScanner scanner_{limits_, budget_};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Connection whole(false);
  Connection bytewise(true);
  std::span<const std::uint8_t> rest(data, size);
  Nanos now(1);
  while (!rest.empty()) {
    std::uint8_t control = rest.front();
    rest = rest.subspan(1);
    auto bytes = rest.first(std::min<std::size_t>(rest.size(), (control & 63) + 1));
    rest = rest.subspan(bytes.size());
    if ((control & 64) != 0) now += std::chrono::hours(1);  // past every wait so far
    for (Connection* connection : {&whole, &bytewise}) {
      if ((control & 128) != 0) {
        connection->reply(bytes);
      } else {
        connection->request(bytes, now);
      }
    }
    require(whole.closed == bytewise.closed);
    if (whole.closed) return 0;
    require(whole.passed == bytewise.passed);
    require(whole.open_streams() == bytewise.open_streams());
  }
  return 0;
}
