#include "supervisor/control/operators/feeds.h"

#include <utility>

#include "base/text.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

constexpr std::uint32_t kLogPage = 200;  // ≤ 1.6 MB: a line has at most 8 KiB
constexpr std::uint32_t kEventPage = 500;

using LogStreamReactor = PageStream<pb::LogEntry>;
using EventStreamReactor = PageStream<pb::Event>;

grpc::Status too_many_streams() {
  auto error = fail(Code::kResourceExhausted, "too many log and event streams are open").value();
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

pb::LogEntry encode_line(const LogLine& line) {
  pb::LogEntry wire;
  *wire.mutable_time() = encode_time(line.time);
  wire.set_stream(stream_name(line.stream));
  wire.set_line(replace_invalid_utf8(line.text));
  wire.set_cursor(line.cursor);
  wire.set_partial(line.partial);
  wire.set_generation(line.generation);
  return wire;
}

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
  return wire;
}

// Reads an agent's log page by page. `tail` is the first page's business only; a tail of 0 means
// "what comes from now on".
class LogPages {
 public:
  LogPages(LogStore& store, AgentId agent, LogQuery query)
      : store_(store), agent_(std::move(agent)), query_(std::move(query)) {}

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
    for (const LogLine& line : *lines) page.push_back(encode_line(line));
    return page;
  }

 private:
  LogStore& store_;
  AgentId agent_;
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

EventQuery event_query(const pb::EventsRequest& request) {
  EventQuery query{.agent = request.name(), .after_id = request.after_id(), .limit = kEventPage};
  if (request.has_since()) query.since = decode_time(request.since());
  if (request.has_tail()) query.tail = request.tail();
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
  auto pages = std::make_shared<LogPages>(backends.logs, agent.id, std::move(query));
  std::uint64_t lines = 0, removal = 0;
  if (follow) {
    lines = backends.logs.subscribe(agent.id, [weak] {
      if (auto alive = weak.lock()) alive->wake();
    });
    removal = backends.events.subscribe(watch_removal(agent.manifest.name, weak));
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
  if (!slot) {
    stream->end(too_many_streams());
    return stream;
  }
  auto pages = std::make_shared<EventPages>(events, event_query(request));
  std::uint64_t id = 0;
  if (request.follow()) {
    std::weak_ptr<EventStreamReactor> weak = stream;
    id = events.subscribe([weak](const Event&) {
      if (auto alive = weak.lock()) alive->wake();
    });
  }
  auto cleanup = [&events, id, follow = request.follow(), slot = std::move(slot)] {
    if (follow) events.unsubscribe(id);
  };
  stream->begin([pages] { return pages->next(); }, std::move(cleanup));
  return stream;
}

}  // namespace flodea::control
