// Logs, Events and WatchAgents as streams: which page comes next, and what says that there is one.
#pragma once

#include <memory>

#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/operators/operators_service.h"
#include "supervisor/control/operators/page_stream.h"

namespace flodea::control {

// `slot` is held while the stream lasts; null: too many run, the stream is refused. With follow,
// the stream ends once the agent is removed.
std::shared_ptr<PageStream<operators::v1::LogEntry>> start_log_feed(
    const operators::v1::LogsRequest& request, OperatorsBackends backends,
    std::shared_ptr<SerialExecutor::Strand> strand, std::shared_ptr<void> slot);
std::shared_ptr<PageStream<operators::v1::AgentChange>> start_agent_feed(
    const operators::v1::WatchAgentsRequest& request, OperatorsBackends backends,
    std::shared_ptr<SerialExecutor::Strand> strand, std::shared_ptr<void> slot);
std::shared_ptr<PageStream<operators::v1::Event>> start_event_feed(
    const operators::v1::EventsRequest& request, EventLog& events,
    std::shared_ptr<SerialExecutor::Strand> strand, std::shared_ptr<void> slot);

}  // namespace flodea::control
