// Cuts a byte stream into the lines of log frames: at '\n', and at LogFrame::kMaxText bytes within
// a longer line (kPartial).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/log_frame.h"

namespace flodea::worker {

class LineSplitter {
 public:
  // `partial`: the line goes on in the next piece.
  using Emit = std::function<void(std::string_view text, bool partial)>;

  void feed(std::string_view bytes, const Emit& emit);
  void finish(const Emit& emit);  // a last line without '\n'

 private:
  std::string held_;  // < kMaxText bytes of a line that has not ended
};

}  // namespace flodea::worker
