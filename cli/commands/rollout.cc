// rollout status: an agent's way to its current revision, as it goes.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>

#include "base/quantity.h"
#include "cli/client/follow.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct RolloutOptions {
  Targets targets;
  std::string timeout;
};

// Where an agent stands, and whether it is over.
class Rollout {
 public:
  explicit Rollout(Session& session) : session_(session) {}

  void take(const pb::AgentChange& change) {
    const pb::Agent& agent = change.agent();
    if (change.type() == pb::AgentChange::TYPE_SYNCED) {
      synced_ = true;
    } else if (change.type() == pb::AgentChange::TYPE_REMOVED) {
      fail_one(agent.name(), "it was removed");
    } else {
      seen_.insert(agent.name());
      say(agent);
      judge(agent);
    }
  }
  // All have arrived, or failed. A name that is not among those there are has failed.
  bool over(const std::set<std::string>& names) {
    if (!synced_) return false;
    for (const std::string& name : names) {
      if (!seen_.contains(name) && ended_.insert(name).second)
        failures_.push_back(no_such_agent(name).value().message);
      if (!ended_.contains(name)) return false;
    }
    return true;
  }
  std::string pending(const std::set<std::string>& names) const {
    std::string text;
    for (const std::string& name : names) {
      auto state = states_.find(name);
      if (ended_.contains(name)) continue;
      text += (text.empty() ? "" : ", ") + name + " is " +
              (state == states_.end() ? "unknown" : state->second);
    }
    return text;
  }
  Status outcome() const {
    if (failures_.empty()) return {};
    auto error = fail(Code::kAborted, fmt::format("{}", fmt::join(failures_, "; "))).value();
    return tl::unexpected(std::move(error).with_remedy("see: flodea events, flodea logs"));
  }

 private:
  void say(const pb::Agent& agent) {
    std::string state = state_word(agent.state());
    std::string revision = fmt::format("revision {}", agent.revision());
    if (agent.observed_revision() != agent.revision())
      revision += fmt::format(", {} runs", agent.observed_revision());
    else if (on_trial(agent))
      revision += ", not proven yet";
    std::string line = fmt::format("{} {} ({})", agent.name(), state, revision);
    states_[agent.name()] = state;
    std::string& last = lines_[agent.name()];
    if (last == line) return;
    last = line;
    if (!session_.table()) return print(render_item(agent, session_.format));
    print(line + "\n");
  }
  void judge(const pb::Agent& agent) {
    std::uint64_t& wanted = wanted_.try_emplace(agent.name(), agent.revision()).first->second;
    bool there = agent.observed_revision() == agent.revision();
    if (agent.revision() != wanted)
      return fail_one(agent.name(),
                      fmt::format("revision {} was replaced by {}", wanted, agent.revision()));
    if (agent.state() == pb::STATE_FAILED)
      return fail_one(agent.name(), "failed: " + why_text(agent.reason(), agent.message()));
    bool stopped = agent.state() == pb::STATE_STOPPED && (there || !agent.desired_running());
    bool runs = there && agent.state() == pb::STATE_RUNNING && !on_trial(agent);
    if (stopped || runs) ended_.insert(agent.name());
  }
  // The revision before would still be put back.
  static bool on_trial(const pb::Agent& agent) {
    return agent.proven_revision() != 0 && agent.proven_revision() != agent.revision();
  }
  void fail_one(const std::string& name, const std::string& why) {
    if (ended_.insert(name).second) failures_.push_back(printable(name + " " + why));
  }

  Session& session_;
  bool synced_ = false;
  std::set<std::string> seen_, ended_;
  std::map<std::string, std::uint64_t> wanted_;
  std::map<std::string, std::string> states_, lines_;
  std::vector<std::string> failures_;
};

Status status(Session& session, const RolloutOptions& options) {
  auto found = TRY(names_of(session, options.targets));
  std::set<std::string> names(found.begin(), found.end());
  auto deadline = std::chrono::system_clock::time_point::max();
  if (!options.timeout.empty())
    deadline = std::chrono::system_clock::now() + TRY(parse_duration(options.timeout));
  Rollout rollout(session);
  pb::WatchAgentsRequest request;
  request.mutable_names()->Add(found.begin(), found.end());
  auto open = [&](Client& client, grpc::ClientContext& context) {
    context.set_deadline(deadline);
    return client.stub().WatchAgents(&context, request);
  };
  auto take = [&](const pb::AgentChange& change) {
    if (change.cursor() != 0) request.set_cursor(change.cursor());
    rollout.take(change);
    return !rollout.over(names);
  };
  if (names.empty()) return {};
  auto client = TRY(session.own_client());
  auto ended = TRY(follow<pb::AgentChange>(std::move(client), open, take));
  if (ended.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
    return fail(Code::kDeadlineExceeded,
                fmt::format("not there after {}: {}", options.timeout, rollout.pending(names)));
  if (!ended.ok()) return tl::unexpected(error_of(ended, session.socket));
  return rollout.outcome();
}

std::string check_timeout(const std::string& text) {
  auto parsed = parse_duration(text);
  return parsed ? "" : parsed.error().message;
}

}  // namespace

void add_rollout(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<RolloutOptions>();
  auto* rollout = app.add_subcommand("rollout", "How far agents are with their current revisions");
  rollout->require_subcommand(1);
  auto* command = rollout->add_subcommand(
      "status", "Print each change of state until they run as they should, or have failed");
  add_targets(*command, options->targets);
  command->add_option("--timeout", options->timeout, "Give up after this time (default: never)")
      ->type_name("DURATION")
      ->check(check_timeout);
  command->callback([&session, &action, command, options] {
    if (options->targets.names.empty() && command->count("--selector") == 0)
      throw CLI::RequiredError("NAME or -l");
    action = [&session, options] { return status(session, *options); };
  });
}

}  // namespace flodea::cli
