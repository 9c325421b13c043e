#include "cli/commands/targets.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/selector.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

std::string check_selector(const std::string& text) {
  auto parsed = Selector::parse(text);
  return parsed ? "" : parsed.error().message + "; " + parsed.error().remedy;
}

}  // namespace

void add_selector(CLI::App& command, std::string& selector) {
  command
      .add_option("-l,--selector", selector,
                  "By label: team=treasury,tier!=test,env in (a,b),key,!key")
      ->type_name("SELECTOR")
      ->check(check_selector);
}

void add_targets(CLI::App& command, Targets& targets) {
  auto* names = command.add_option("name", targets.names, "The agents")->type_name("NAME");
  add_selector(command, targets.selector);
  names->excludes(command.get_option("--selector"));
}

void add_changing_targets(CLI::App& command, Targets& targets) {
  add_targets(command, targets);
  auto* all = command.add_flag("--all", targets.all, "Every agent (that -l selects)");
  command.get_option("name")->excludes(all);
}

void check_changing(const CLI::App& command, Targets& targets) {
  bool selected = command.count("--selector") > 0;
  if (targets.names.empty() && !selected && !targets.all)
    throw CLI::RequiredError("one of NAME, -l and --all");
  auto selector = Selector::parse(targets.selector);
  if (selected && !targets.all && selector && selector->selects_all())
    throw CLI::ValidationError("-l", "an empty selector means every agent: say --all");
  targets.by_selector = targets.names.empty();
}

tl::unexpected<Error> no_such_agent(const std::string& name) {
  auto error = fail(Code::kNotFound, "there is no agent \"" + name + "\"").value();
  return tl::unexpected(std::move(error).with_remedy("`flodea ps` lists those there are"));
}

Result<pb::ListResponse> list_agents(Client& client, const std::string& selector) {
  pb::ListResponse all;
  pb::ListRequest request;
  request.set_selector(selector);
  do {
    auto page = TRY(client.call(&pb::Operators::Stub::List, request));
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    all.MergeFrom(page);
  } while (!request.page_token().empty());
  return all;
}

Result<AgentsByName> agents_by_name(Client& client, const std::string& selector) {
  AgentsByName agents;
  auto list = TRY(list_agents(client, selector));
  for (const pb::Agent& agent : list.agents()) agents[agent.name()] = agent;
  return agents;
}

After after_of(const AgentsByName& agents) {
  After after;
  for (const auto& [name, agent] : agents)
    after[name] = {agent.spec().after().begin(), agent.spec().after().end()};
  return after;
}

void say_none_selected() { std::fputs("flodea: no agent is selected\n", stderr); }

Result<std::vector<std::string>> names_of(Session& session, const Targets& targets) {
  std::vector<std::string> names;
  if (!targets.names.empty()) {
    std::set<std::string> seen;
    for (const std::string& name : targets.names) {
      if (seen.insert(name).second) names.push_back(name);
    }
    return names;
  }
  Client* client = TRY(session.client());
  auto list = TRY(list_agents(*client, targets.selector));
  for (const pb::Agent& agent : list.agents()) names.push_back(agent.name());
  if (names.empty()) say_none_selected();
  return names;
}

}  // namespace flodea::cli
