// Pages of List. A page is bounded in agents and in bytes, since one agent's spec may have half a
// megabyte. Pure: no gRPC.
#pragma once

#include <vector>

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

inline constexpr std::uint32_t kDefaultListPage = 100;
inline constexpr std::uint32_t kMaxListPage = 1000;
inline constexpr std::size_t kMaxListBytes = 4 << 20;  // one agent more may go over it

// kInvalidArgument: a size over kMaxListPage, a selector, or what is no page token.
Status check_list_request(const operators::v1::ListRequest& request);
// Of all `agents` the page that a checked request asks for, by name. An agent that is made or
// removed between two pages is missed or told by its place, and no other is told twice.
operators::v1::ListResponse encode_list_page(std::vector<AgentView> agents,
                                             const operators::v1::ListRequest& request);

}  // namespace flodea::control
