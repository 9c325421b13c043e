// One line on a terminal that says how far a long step is. Where stderr is no terminal it says
// nothing.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

namespace flodea::cli {

// Thread-safe.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  bool shown() const { return terminal_; }
  void show(std::string_view text);  // replaces what stands there
  void clear();

 private:
  std::mutex mutex_;
  bool terminal_;
  bool standing_ = false;  // under mutex_
};

}  // namespace flodea::cli
