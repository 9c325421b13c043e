#include "supervisor/control/operators/agent_watch.h"

#include <algorithm>
#include <map>
#include <utility>

#include "supervisor/control/operators/event_codec.h"
#include "supervisor/control/operators/spec_codec.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

constexpr std::uint32_t kEventsAtATime = 500;
const std::set<std::string> kChanges{"agent.state",    "agent.applied", "agent.removed",
                                     "agent.put_back", "agent.pending", "agent.frozen",
                                     "agent.thawed",   "agent.proven"};

pb::AgentChange change(pb::AgentChange::Type type) {
  pb::AgentChange wire;
  wire.set_type(type);
  return wire;
}

// A cursor of which nothing after it was forgotten.
bool still_known(std::uint64_t cursor, const EventLog::Bounds& bounds) {
  return cursor != 0 && cursor + 1 >= bounds.first && cursor <= bounds.last;
}

}  // namespace

Result<std::shared_ptr<AgentWatch>> AgentWatch::make(const pb::WatchAgentsRequest& request,
                                                     Lifecycle& lifecycle, const EventLog& events) {
  if (static_cast<std::size_t>(request.names_size()) > kMaxEventNames) {
    auto error =
        fail(Code::kInvalidArgument, "at most " + std::to_string(kMaxEventNames) + " names")
            .value();
    return tl::unexpected(std::move(error).with_field("names"));
  }
  EventFilter wanted{.agents = {request.names().begin(), request.names().end()},
                     .kinds = kChanges,
                     .selector = {}};
  auto selector = TRY(Selector::parse(request.selector()));
  std::uint64_t cursor = still_known(request.cursor(), events.bounds()) ? request.cursor() : 0;
  return std::shared_ptr<AgentWatch>(
      new AgentWatch(std::move(wanted), std::move(selector), cursor, lifecycle, events));
}

AgentWatch::AgentWatch(EventFilter wanted, Selector selector, std::uint64_t cursor,
                       Lifecycle& lifecycle, const EventLog& events)
    : wanted_(std::move(wanted)),
      selector_(std::move(selector)),
      lifecycle_(lifecycle),
      events_(events),
      cursor_(cursor),
      begun_(cursor != 0),
      resumed_(cursor != 0) {}

bool AgentWatch::concerns(const Event& event) const {
  return wanted_.takes(event.agent, event.kind, event.labels);
}

bool AgentWatch::selected(const AgentView& view) const {
  bool named = wanted_.agents.empty() || wanted_.agents.contains(view.manifest.name);
  return named && selector_.matches(view.manifest.labels);
}

Result<AgentWatch::Changes> AgentWatch::next() {
  for (;;) {
    bool waiting = false;
    if (auto views = take_answer(waiting)) {
      if (!*views) return tl::unexpected(std::move(*views).error());
      Changes changes = asked_.empty() ? all_of(**views) : changes_of(**views);
      cursor_ = upto_;
      if (!changes.empty()) changes.back().set_cursor(cursor_);
      if (!changes.empty()) return changes;
      continue;
    }
    if (waiting) return Changes();
    // A client that did not read for long may have been overtaken by the log's bound: anew then.
    if (!std::exchange(begun_, true) || (cursor_ != 0 && !still_known(cursor_, events_.bounds())))
      begin();
    else if (!TRY(read_events()))
      return Changes();
  }
}

// Answers come on the core thread, perhaps from within the asking.
Lifecycle::Callback<AgentWatch::Views> AgentWatch::answer() {
  {
    std::lock_guard lock(mutex_);
    waiting_ = true;
  }
  return [self = shared_from_this()](Result<Views> views) {
    {
      std::lock_guard lock(self->mutex_);
      self->arrived_ = std::move(views);
    }
    self->there_is_more_();
  };
}

std::optional<Result<AgentWatch::Views>> AgentWatch::take_answer(bool& waiting) {
  std::lock_guard lock(mutex_);
  waiting = waiting_ && !arrived_;
  if (!arrived_) return std::nullopt;
  waiting_ = false;
  return std::exchange(arrived_, std::nullopt);
}

// An event is recorded after what it tells of: agents that are asked for now are as of `upto_`, or
// later.
void AgentWatch::begin() {
  upto_ = events_.bounds().last;
  asked_.clear();
  lifecycle_.list(answer());
}

Result<bool> AgentWatch::read_events() {
  auto events =
      TRY(events_.query({.filter = wanted_, .after_id = cursor_, .limit = kEventsAtATime}));
  if (events.empty()) return false;
  upto_ = events.back().id;
  asked_.clear();
  for (const Event& event : events) {
    if (std::ranges::find(asked_, event.agent) == asked_.end()) asked_.push_back(event.agent);
  }
  lifecycle_.look(asked_, answer());
  return true;
}

AgentWatch::Changes AgentWatch::all_of(const Views& views) {
  Changes changes;
  std::set<std::string> gone = std::exchange(shown_, {});
  for (const AgentView& view : views) {
    if (!selected(view)) continue;
    changes.push_back(change(pb::AgentChange::TYPE_PRESENT));
    *changes.back().mutable_agent() = encode_agent(view);
    shown_.insert(view.manifest.name);
    gone.erase(view.manifest.name);
  }
  for (const std::string& name : gone) {
    changes.push_back(change(pb::AgentChange::TYPE_REMOVED));
    changes.back().mutable_agent()->set_name(name);
  }
  changes.push_back(change(pb::AgentChange::TYPE_SYNCED));
  return changes;
}

AgentWatch::Changes AgentWatch::changes_of(const Views& views) {
  std::map<std::string, const AgentView*> found;
  for (const AgentView& view : views) {
    if (selected(view)) found[view.manifest.name] = &view;
  }
  Changes changes;
  for (const std::string& name : asked_) {
    auto view = found.find(name);
    if (view != found.end()) {
      changes.push_back(change(pb::AgentChange::TYPE_CHANGED));
      *changes.back().mutable_agent() = encode_agent(*view->second);
      shown_.insert(name);
    } else if (shown_.erase(name) > 0 || resumed_) {
      changes.push_back(change(pb::AgentChange::TYPE_REMOVED));
      changes.back().mutable_agent()->set_name(name);
    }
  }
  return changes;
}

}  // namespace flodea::control
