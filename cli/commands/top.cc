#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/quantity.h"
#include "cli/client/follow.h"
#include "cli/commands/choice.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"
#include "cli/output/top_view.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct TopOptions {
  Targets targets;
  std::string delay = "2s";
  TopOrder order = TopOrder::kCpu;
  bool once = false;
};

constexpr Nanos kLeastDelay = std::chrono::milliseconds(100);
constexpr Nanos kMostDelay = std::chrono::hours(1);
constexpr char kClear[] = "\x1b[H\x1b[J";

std::string check_delay(const std::string& text) {
  auto delay = parse_duration(text);
  if (!delay && delay.error().code != Code::kOutOfRange) return delay.error().message;
  return !delay || *delay < kLeastDelay || *delay > kMostDelay
             ? text + " is not between 100ms and 1h"
             : "";
}

Result<pb::ListResponse> sample(Session& session, const Targets& targets) {
  Client* client = TRY(session.client());
  auto list = TRY(list_agents(*client, targets.selector));
  if (targets.names.empty()) return list;
  pb::ListResponse named;
  for (const pb::Agent& agent : list.agents()) {
    if (std::ranges::find(targets.names, agent.name()) != targets.names.end())
      *named.add_agents() = agent;
  }
  return named;
}

// Over a restart of the supervisor too.
Result<pb::ListResponse> sample_again(Session& session, const Targets& targets) {
  Reconnect reconnect(session.socket);
  for (;;) {
    auto list = sample(session, targets);
    if (list || !is_unreachable(list.error())) return list;
    session.renew(TRY(reconnect.again(list.error())));
  }
}

// Who is named is there to begin with; what goes later is gone from the table.
Status check_found(const pb::ListResponse& found, const Targets& targets) {
  for (const std::string& name : targets.names) {
    if (std::ranges::find(found.agents(), name, &pb::Agent::name) == found.agents().end())
      return no_such_agent(name);
  }
  if (found.agents().empty() && !targets.selector.empty()) say_none_selected();
  return {};
}

Status top(Session& session, const TopOptions& options) {
  bool terminal = session.table() && ::isatty(STDOUT_FILENO) == 1 && !options.once;
  Nanos delay = TRY(parse_duration(options.delay));
  auto before = TRY(sample(session, options.targets));
  TRY(check_found(before, options.targets));
  do {
    // The time between two samples is what is measured.
    (void)::poll(nullptr, 0, static_cast<int>(delay / std::chrono::milliseconds(1)));
    auto after = TRY(sample_again(session, options.targets));
    auto rows = top_rows(before, after, options.order, session.now());
    print((terminal ? kClear : "") +
          (session.table() ? top_table(rows) : top_item(rows, session.format)));
    before = std::move(after);
  } while (!options.once);
  return {};
}

}  // namespace

void add_top(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<TopOptions>();
  auto* command = app.add_subcommand("top", "Show what agents use, again and again");
  add_targets(*command, options->targets);
  command->add_option("-d,--delay", options->delay, "From one sample to the next")
      ->type_name("DURATION")
      ->capture_default_str()
      ->check(check_delay);
  add_choice<TopOrder>(*command, "--sort", options->order,
                       {{"cpu", TopOrder::kCpu},
                        {"memory", TopOrder::kMemory},
                        {"calls", TopOrder::kCalls},
                        {"name", TopOrder::kName}},
                       "cpu (default), memory, calls or name")
      ->type_name("BY");
  command->add_flag("--once", options->once, "Two samples, one table");
  command->callback([&session, &action, options] {
    action = [&session, options] { return top(session, *options); };
  });
}

}  // namespace flodea::cli
