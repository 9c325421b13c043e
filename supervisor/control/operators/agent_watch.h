// The agents as they are, then each change of one: from the event log, which says whose state has
// changed, and from the lifecycle, which says what it is now. So changes that follow closely on one
// another come as one. An event's id is the place to go on from.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/lifecycle/lifecycle.h"
#include "supervisor/control/monitoring/event_log.h"

namespace flodea::control {

class AgentWatch : public std::enable_shared_from_this<AgentWatch> {
 public:
  // kInvalidArgument: a selector, or too many names.
  static Result<std::shared_ptr<AgentWatch>> make(const operators::v1::WatchAgentsRequest& request,
                                                  Lifecycle& lifecycle, const EventLog& events);
  // `there_is_more`, from any thread: `next` has something now. Set before the first `next`.
  void on_more(std::function<void()> there_is_more) { there_is_more_ = std::move(there_is_more); }
  // Does the event tell of a change that is watched for?
  bool concerns(const Event& event) const;
  // What comes next; empty: nothing for now. One thread at a time, may block on the event log.
  Result<std::vector<operators::v1::AgentChange>> next();

 private:
  using Views = std::vector<AgentView>;
  using Changes = std::vector<operators::v1::AgentChange>;
  AgentWatch(EventFilter wanted, Selector selector, std::uint64_t cursor, Lifecycle& lifecycle,
             const EventLog& events);
  std::optional<Result<Views>> take_answer(bool& waiting);
  Lifecycle::Callback<Views> answer();
  void begin();
  Result<bool> read_events();
  Changes all_of(const Views& views);
  Changes changes_of(const Views& views);
  bool selected(const AgentView& view) const;

  EventFilter wanted_;  // events: names and kinds; labels are judged as they are now
  Selector selector_;
  Lifecycle& lifecycle_;
  const EventLog& events_;
  std::function<void()> there_is_more_;
  std::uint64_t cursor_;            // all up to here is told
  bool begun_;                      // all agents are told, or were before
  std::uint64_t upto_ = 0;          // what is asked for now reflects at least this event
  bool resumed_;                    // what the client has seen before is not known
  std::vector<std::string> asked_;  // names; none: all
  std::set<std::string> shown_;
  std::mutex mutex_;
  bool waiting_ = false;
  std::optional<Result<Views>> arrived_;
};

}  // namespace flodea::control
