// Names that several threads take, each once those before it are done. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>

#include "cli/order/order.h"

namespace flodea::cli {

class Turns {
 public:
  // In the order of `names` where `before` leaves a choice.
  explicit Turns(Names names, Precedence before = {});
  // Blocks until somebody's turn has come; nothing once all have had theirs.
  std::optional<std::string> next();
  void done(const std::string& name);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Names left_;
  Precedence before_;
  std::size_t running_ = 0;
};

}  // namespace flodea::cli
