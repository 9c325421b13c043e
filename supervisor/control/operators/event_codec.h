// Events between the wire and the domain. Pure: no gRPC.
#pragma once

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/monitoring/event_log.h"

namespace flodea::control {

inline constexpr std::size_t kMaxEventNames = 1000;
inline constexpr std::size_t kMaxEventKinds = 64;

operators::v1::Event encode_event(const Event& event);
// kInvalidArgument with the field: a selector, too many names or kinds, `until` with `follow`.
Result<EventQuery> decode_event_query(const operators::v1::EventsRequest& request);

}  // namespace flodea::control
