#include "worker/line_splitter.h"

#include <algorithm>

namespace flodea::worker {

void LineSplitter::feed(std::string_view bytes, const Emit& emit) {
  while (!bytes.empty()) {
    auto end = bytes.find('\n');
    bool ends = end != std::string_view::npos;
    std::string_view part = bytes.substr(0, std::min(end, bytes.size()));
    std::size_t room = LogFrame::kMaxText - held_.size();
    if (part.size() > room) {  // the line is longer than a frame
      held_ += part.substr(0, room);
      emit(held_, true);
      held_.clear();
      bytes.remove_prefix(room);
      continue;
    }
    bytes.remove_prefix(part.size() + (ends ? 1 : 0));
    if (ends && held_.empty()) {
      emit(part, false);
      continue;
    }
    held_ += part;
    if (!ends) return;
    emit(held_, false);
    held_.clear();
  }
}

void LineSplitter::finish(const Emit& emit) {
  if (!held_.empty()) emit(held_, false);
  held_.clear();
}

}  // namespace flodea::worker
