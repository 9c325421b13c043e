// Which of a fixed number of rows, of a table that two programs share, are taken. Given out in
// turn, so that what a row said last stays for long after it is given back. Any thread.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

namespace flodea {

class RowPlaces {
 public:
  explicit RowPlaces(std::size_t rows) : used_(rows) {}

  std::optional<std::size_t> take() {  // nothing: every row is taken
    std::lock_guard lock(mutex_);
    for (std::size_t tried = 0; tried < used_.size(); ++tried) {
      std::size_t at = next_;
      next_ = (at + 1) % used_.size();
      if (used_[at]) continue;
      used_[at] = true;
      return at;
    }
    return std::nullopt;
  }
  void give_back(std::size_t at) {
    std::lock_guard lock(mutex_);
    used_[at] = false;
  }

 private:
  std::mutex mutex_;
  std::vector<bool> used_;  // under mutex_
  std::size_t next_ = 0;    // under mutex_
};

}  // namespace flodea
