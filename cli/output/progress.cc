#include "cli/output/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace flodea::cli {

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::show(std::string_view text) {
  if (!terminal_) return;
  std::lock_guard lock(mutex_);
  standing_ = true;
  fmt::print(stderr, "\r\x1b[K{}", text);
  std::fflush(stderr);
}

void Progress::clear() {
  std::lock_guard lock(mutex_);
  if (!standing_) return;
  standing_ = false;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace flodea::cli
