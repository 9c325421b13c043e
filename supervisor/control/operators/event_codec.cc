#include "supervisor/control/operators/event_codec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/event_kinds.h"
#include "base/text.h"
#include "supervisor/control/operators/spec_fields.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

Status at_most(int count, std::size_t most, const char* field) {
  if (static_cast<std::size_t>(count) <= most) return {};
  auto error = fail(Code::kInvalidArgument, "at most " + std::to_string(most) + " " + field +
                                                ", not " + std::to_string(count))
                   .value();
  return tl::unexpected(std::move(error).with_field(field));
}

Status check_kind(const std::string& kind) {
  if (is_event_kind(kind)) return {};
  std::vector<std::string> known(kEventKinds.begin(), kEventKinds.end());
  return refuse("kinds", "there are no events of kind " + quoted(kind),
                did_you_mean(kind, known, fmt::format("there are: {}", fmt::join(known, ", "))));
}

}  // namespace

pb::Event encode_event(const Event& event) {
  pb::Event wire;
  wire.set_id(event.id);
  *wire.mutable_time() = encode_time(event.time);
  wire.set_kind(event.kind);
  wire.set_agent(event.agent);
  wire.set_from(event.from);
  wire.set_to(event.to);
  wire.set_reason(replace_invalid_utf8(event.reason));
  wire.set_message(replace_invalid_utf8(event.message));
  wire.set_generation(event.generation);
  wire.set_cause(event.cause);
  wire.mutable_labels()->insert(event.labels.begin(), event.labels.end());
  return wire;
}

Result<EventQuery> decode_event_query(const pb::EventsRequest& request) {
  TRY(at_most(request.names_size(), kMaxEventNames, "names"));
  TRY(at_most(request.kinds_size(), kMaxEventKinds, "kinds"));
  for (const std::string& kind : request.kinds()) TRY(check_kind(kind));
  EventQuery query{.after_id = request.after_id()};
  query.filter.selector = TRY(Selector::parse(request.selector()));
  query.filter.agents = {request.names().begin(), request.names().end()};
  query.filter.kinds = {request.kinds().begin(), request.kinds().end()};
  if (!request.name().empty()) query.filter.agents.insert(request.name());
  if (request.has_since()) query.since = decode_time(request.since());
  if (request.has_tail()) query.tail = request.tail();
  if (!request.has_until()) return query;
  if (request.follow()) {
    auto error = fail(Code::kInvalidArgument, "what is followed has no end").value();
    return tl::unexpected(
        std::move(error).with_field("until").with_remedy("give either until or follow"));
  }
  query.until = decode_time(request.until());
  return query;
}

}  // namespace flodea::control
