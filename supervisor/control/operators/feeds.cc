#include "supervisor/control/operators/feeds.h"

#include <utility>

#include "base/text.h"
#include "supervisor/control/operators/agent_watch.h"
#include "supervisor/control/operators/event_codec.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

constexpr std::uint32_t kLogPage = 200;  // ≤ 1.6 MB: a line has at most 8 KiB
constexpr std::uint32_t kEventPage = 500;

using LogStreamReactor = PageStream<pb::LogEntry>;
using EventStreamReactor = PageStream<pb::Event>;
using AgentStreamReactor = PageStream<pb::AgentChange>;

grpc::Status too_many_streams() {
  auto error =
      fail(Code::kResourceExhausted, "too many streams of logs, events and agents are open")
          .value();
  return to_grpc_status(std::move(error).with_remedy("end some of them"));
}

const char* stream_name(LogStream stream) {
  switch (stream) {
    case LogStream::kStdout:
      return "stdout";
    case LogStream::kStderr:
      return "stderr";
    case LogStream::kStructured:
      return "log";
    case LogStream::kSystem:
      return "system";
  }
  return "system";
}

pb::LogEntry encode_line(const std::string& agent, const LogLine& line) {
  pb::LogEntry wire;
  wire.set_agent(agent);
  *wire.mutable_time() = encode_time(line.time);
  wire.set_stream(stream_name(line.stream));
  wire.set_line(replace_invalid_utf8(line.text));
  wire.set_cursor(line.cursor);
  wire.set_partial(line.partial);
  wire.set_generation(line.generation);
  return wire;
}

// Reads an agent's log page by page. `tail` is the first page's business only; a tail of 0 means
// "what comes from now on".
class LogPages {
 public:
  LogPages(LogStore& store, const AgentView& agent, LogQuery query)
      : store_(store), agent_(agent.id), name_(agent.manifest.name), query_(std::move(query)) {}

  Result<std::vector<pb::LogEntry>> next() {
    bool skip = query_.tail == 0u;
    if (skip) query_.tail = 1;
    auto lines = store_.read(agent_, query_);
    std::vector<pb::LogEntry> page;
    bool removed = !lines && begun_ && lines.error().code == Code::kNotFound;
    if (removed) return page;  // nothing more comes; the removal ends the stream
    if (!lines) return tl::unexpected(std::move(lines).error());
    begun_ = true;
    query_.tail.reset();
    if (!lines->empty()) query_.cursor = lines->back().cursor;
    if (skip) return page;
    page.reserve(lines->size());
    for (const LogLine& line : *lines) page.push_back(encode_line(name_, line));
    return page;
  }

 private:
  LogStore& store_;
  AgentId agent_;
  std::string name_;
  LogQuery query_;
  bool begun_ = false;  // a page was read: the log was there
};

class EventPages {
 public:
  EventPages(EventLog& log, EventQuery query) : log_(log), query_(std::move(query)) {}

  Result<std::vector<pb::Event>> next() {
    bool skip = query_.tail == 0u;
    if (skip) query_.tail = 1;
    auto events = TRY(log_.query(query_));
    query_.tail.reset();
    if (!events.empty()) query_.after_id = events.back().id;
    std::vector<pb::Event> page;
    if (skip) return page;
    page.reserve(events.size());
    for (const Event& event : events) page.push_back(encode_event(event));
    return page;
  }

 private:
  EventLog& log_;
  EventQuery query_;
};

LogQuery log_query(const pb::LogsRequest& request) {
  LogQuery query{.cursor = request.cursor(), .limit = kLogPage};
  if (request.has_since()) query.since = decode_time(request.since());
  if (request.has_tail() && request.cursor().empty())
    query.tail = request.tail();  // a cursor says where already
  return query;
}

// Subscribed while the agent exists: the first removal of its name is its own, whoever has the name
// (and, with kept data, the id) afterwards.
EventLog::Subscriber watch_removal(std::string name, std::weak_ptr<LogStreamReactor> stream) {
  return [name = std::move(name), stream = std::move(stream)](const Event& event) {
    if (event.agent != name || event.kind != "agent.removed") return;
    if (auto alive = stream.lock()) alive->stop_following();
  };
}

void begin_log_feed(const std::shared_ptr<LogStreamReactor>& stream, OperatorsBackends backends,
                    const AgentView& agent, LogQuery query, bool follow,
                    std::shared_ptr<void> slot) {
  std::weak_ptr<LogStreamReactor> weak = stream;
  auto pages = std::make_shared<LogPages>(backends.logs, agent, std::move(query));
  std::uint64_t lines = 0, removal = 0;
  if (follow) {
    removal = backends.events.subscribe(watch_removal(agent.manifest.name, weak));
    lines = backends.logs.subscribe(agent.id, [weak] {
      if (auto alive = weak.lock()) alive->wake();
    });
  }
  auto cleanup = [backends, id = agent.id, lines, removal, follow, slot = std::move(slot)] {
    if (!follow) return;
    backends.logs.unsubscribe(id, lines);
    backends.events.unsubscribe(removal);
  };
  stream->begin([pages] { return pages->next(); }, std::move(cleanup));
}

}  // namespace

std::shared_ptr<LogStreamReactor> start_log_feed(const pb::LogsRequest& request,
                                                 OperatorsBackends backends,
                                                 std::shared_ptr<SerialExecutor::Strand> strand,
                                                 std::shared_ptr<void> slot) {
  auto stream = LogStreamReactor::make(strand, request.follow());
  auto named = check_agent_name(request.name());
  if (!slot || !named) {
    stream->end(slot ? to_grpc_status(std::move(named).error().with_field("name"))
                     : too_many_streams());
    return stream;
  }
  backends.lifecycle.get(request.name(), [=, query = log_query(request),
                                          follow = request.follow()](Result<AgentView> agent) {
    if (!agent) return stream->end(to_grpc_status(agent.error()));
    begin_log_feed(stream, backends, *agent, query, follow, slot);
  });
  return stream;
}

std::shared_ptr<EventStreamReactor> start_event_feed(const pb::EventsRequest& request,
                                                     EventLog& events,
                                                     std::shared_ptr<SerialExecutor::Strand> strand,
                                                     std::shared_ptr<void> slot) {
  auto stream = EventStreamReactor::make(std::move(strand), request.follow());
  auto query = decode_event_query(request);
  if (!slot || !query) {
    stream->end(slot ? to_grpc_status(query.error()) : too_many_streams());
    return stream;
  }
  query->limit = kEventPage;
  auto filter = std::make_shared<EventFilter>(query->filter);
  auto pages = std::make_shared<EventPages>(events, std::move(*query));
  std::uint64_t id = 0;
  if (request.follow()) {
    std::weak_ptr<EventStreamReactor> weak = stream;
    id = events.subscribe([weak, filter](const Event& event) {
      if (!filter->takes(event.agent, event.kind, event.labels)) return;
      if (auto alive = weak.lock()) alive->wake();
    });
  }
  auto cleanup = [&events, id, follow = request.follow(), slot = std::move(slot)] {
    if (follow) events.unsubscribe(id);
  };
  stream->begin([pages] { return pages->next(); }, std::move(cleanup));
  return stream;
}

std::shared_ptr<AgentStreamReactor> start_agent_feed(const pb::WatchAgentsRequest& request,
                                                     OperatorsBackends backends,
                                                     std::shared_ptr<SerialExecutor::Strand> strand,
                                                     std::shared_ptr<void> slot) {
  auto stream = AgentStreamReactor::make(std::move(strand), true);
  auto watch = AgentWatch::make(request, backends.lifecycle, backends.events);
  if (!slot || !watch) {
    stream->end(slot ? to_grpc_status(watch.error()) : too_many_streams());
    return stream;
  }
  std::weak_ptr<AgentStreamReactor> weak = stream;
  (*watch)->on_more([weak] {
    if (auto alive = weak.lock()) alive->wake();
  });
  auto heard = backends.events.subscribe([weak, watch = *watch](const Event& event) {
    if (!watch->concerns(event)) return;
    if (auto alive = weak.lock()) alive->wake();
  });
  auto cleanup = [&events = backends.events, heard, slot = std::move(slot)] {
    events.unsubscribe(heard);
  };
  stream->begin([watch = *watch] { return watch->next(); }, std::move(cleanup));
  return stream;
}

}  // namespace flodea::control
