#include "cli/commands/bulk.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "cli/commands/targets.h"
#include "cli/order/turns.h"

namespace flodea::cli {
namespace {

constexpr std::size_t kAtATime = 16;

}  // namespace

Status for_each_agent(Session& session, const std::vector<std::string>& names,
                      const std::function<Result<std::string>(const std::string& name)>& one,
                      Precedence before) {
  if (names.empty()) return {};
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

Result<Names> in_start_order(Session& session, const Names& names) {
  if (names.size() < 2) return names;
  Client* client = TRY(session.client());
  auto agents = TRY(agents_by_name(*client));
  return in_start_order(names, after_of(agents));
}

Result<Precedence> stop_precedence(Session& session, const std::vector<std::string>& names) {
  if (names.size() < 2) return Precedence{};
  Client* client = TRY(session.client());
  auto agents = TRY(agents_by_name(*client));
  return stopped_before(names, after_of(agents));
}

}  // namespace flodea::cli
