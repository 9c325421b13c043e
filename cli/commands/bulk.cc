#include "cli/commands/bulk.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

#include "cli/commands/batch.h"
#include "cli/order/order.h"

namespace flodea::cli {
namespace {

constexpr std::size_t kAtATime = 16;

// Who has their turn when. Thread-safe.
class Turns {
 public:
  Turns(std::vector<std::string> names, Precedence before)
      : left_(std::move(names)), before_(std::move(before)) {}

  // Blocks until somebody's turn has come; nothing once all have had theirs.
  std::optional<std::string> next() {
    std::unique_lock lock(mutex_);
    std::vector<std::string>::iterator it;
    changed_.wait(lock, [&] {
      auto free = [this](const std::string& name) { return before_[name].empty(); };
      it = std::ranges::find_if(left_, free);
      // Nobody is under way, and none is free: agents of a ring, which there should not be.
      if (it == left_.end() && running_ == 0) it = left_.begin();
      return it != left_.end() || left_.empty();
    });
    if (left_.empty()) return std::nullopt;
    std::string name = std::move(*it);
    left_.erase(it);
    ++running_;
    return name;
  }
  void done(const std::string& name) {
    std::lock_guard lock(mutex_);
    for (auto& [other, first] : before_) first.erase(name);
    --running_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> left_;
  Precedence before_;
  std::size_t running_ = 0;
};

}  // namespace

Status for_each_agent(Session& session, const std::vector<std::string>& names,
                      const std::function<Result<std::string>(const std::string& name)>& one,
                      Precedence before) {
  if (names.empty()) {
    std::fputs("flodea: no agent is selected\n", stderr);
    return {};
  }
  if (names.size() == 1) {
    print(TRY(one(names.front())));
    return {};
  }
  TRY(session.client());  // connected once, before there are threads
  Turns turns(names, std::move(before));
  std::size_t failed = 0;
  std::mutex output;
  auto work = [&] {
    while (auto name = turns.next()) {
      auto said = one(*name);
      {
        std::lock_guard lock(output);
        if (said) {
          print(*said);
        } else {
          ++failed;
          say_error(said.error());
        }
      }
      turns.done(*name);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(names.size(), kAtATime); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failed == 0) return {};
  return fail(Code::kAborted, fmt::format("{} of {} agents failed", failed, names.size()));
}

Result<Precedence> stop_precedence(Session& session, const std::vector<std::string>& names) {
  if (names.size() < 2) return Precedence{};
  Client* client = TRY(session.client());
  return stopped_before(names, after_of(TRY(agents_by_name(*client))));
}

}  // namespace flodea::cli
