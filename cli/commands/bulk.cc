#include "cli/commands/bulk.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

namespace flodea::cli {
namespace {

constexpr std::size_t kAtATime = 16;

}  // namespace

Status for_each_agent(Session& session, const std::vector<std::string>& names,
                      const std::function<Result<std::string>(const std::string& name)>& one) {
  if (names.empty()) {
    std::fputs("flodea: no agent is selected\n", stderr);
    return {};
  }
  if (names.size() == 1) {
    print(TRY(one(names.front())));
    return {};
  }
  TRY(session.client());  // connected once, before there are threads
  std::atomic<std::size_t> next = 0, failed = 0;
  std::mutex output;
  auto work = [&] {
    for (std::size_t i = next++; i < names.size(); i = next++) {
      auto said = one(names[i]);
      std::lock_guard lock(output);
      if (said) {
        print(*said);
        continue;
      }
      ++failed;
      say_error(said.error());
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(names.size(), kAtATime); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failed == 0) return {};
  return fail(Code::kAborted, fmt::format("{} of {} agents failed", failed.load(), names.size()));
}

}  // namespace flodea::cli
