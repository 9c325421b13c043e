#include "supervisor/control/operators/list_codec.h"

#include <algorithm>

#include "base/selector.h"
#include "supervisor/control/operators/spec_codec.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

const std::string& name_of(const AgentView& agent) { return agent.manifest.name; }

}  // namespace

// The token is the last name of the page before: it says no more than the page did.
Status check_list_request(const pb::ListRequest& request) {
  if (request.page_size() > kMaxListPage) {
    auto error =
        fail(Code::kInvalidArgument, "a page has at most " + std::to_string(kMaxListPage) +
                                         " agents, not " + std::to_string(request.page_size()))
            .value();
    return tl::unexpected(std::move(error).with_field("page_size"));
  }
  TRY(Selector::parse(request.selector()));
  if (request.page_token().empty() || check_agent_name(request.page_token())) return {};
  auto error = fail(Code::kInvalidArgument, "not a page token of List").value();
  return tl::unexpected(std::move(error).with_field("page_token"));
}

pb::ListResponse encode_list_page(std::vector<AgentView> agents, const pb::ListRequest& request) {
  Selector selector = Selector::parse(request.selector()).value_or(Selector());
  std::erase_if(agents,
                [&](const AgentView& one) { return !selector.matches(one.manifest.labels); });
  std::ranges::sort(agents, {}, name_of);
  auto next = std::ranges::upper_bound(agents, request.page_token(), {}, name_of);
  std::uint32_t left = request.page_size() == 0 ? kDefaultListPage : request.page_size();
  pb::ListResponse page;
  std::size_t bytes = 0;
  for (; next != agents.end() && left > 0 && bytes < kMaxListBytes; ++next, --left) {
    *page.add_agents() = encode_agent(*next);
    bytes += page.agents(page.agents_size() - 1).ByteSizeLong();
  }
  if (next != agents.end()) page.set_next_page_token(page.agents(page.agents_size() - 1).name());
  return page;
}

}  // namespace flodea::control
