#include "modules/agent/self_service.h"

#include <memory>
#include <utility>

#include "proto/status_codec/status_codec.h"

namespace flodea::agent {
namespace {

grpc::ServerUnaryReactor* finish(grpc::CallbackServerContext* context, const Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(status ? grpc::Status::OK : to_grpc_status(status.error()));
  return reactor;
}

Level decode(v1::Level level) {
  switch (level) {
    case v1::LEVEL_DEBUG:
      return Level::kDebug;
    case v1::LEVEL_WARNING:
      return Level::kWarning;
    case v1::LEVEL_ERROR:
      return Level::kError;
    default:
      return Level::kInfo;
  }
}

std::vector<Record> decode(const v1::LogRequest& request) {
  std::vector<Record> records;
  for (const v1::LogRecord& record : request.records()) {
    records.push_back({decode(record.level()),
                       record.message(),
                       {record.fields().begin(), record.fields().end()}});
  }
  return records;
}

// One WatchStop: at most one message, then the end.
class StopStream final : public grpc::ServerWriteReactor<v1::StopNotice> {
 public:
  explicit StopStream(StopBoard& board) : board_(board) {}

  void begin() {
    StartSendInitialMetadata();  // the worker sees that the stream stands
    watch_ = board_.watch([this](const StopRequest& request) { send(request); });
  }
  void OnCancel() override {
    if (watch_ != 0 && board_.unwatch(watch_)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  void send(const StopRequest& request) {
    notice_.set_reason(request.reason);
    notice_.set_deadline_nanos(request.deadline.count());
    StartWriteAndFinish(&notice_, {}, grpc::Status::OK);
  }

  StopBoard& board_;
  v1::StopNotice notice_;
  // Written before the handler returns; gRPC calls OnCancel only after that.
  StopBoard::Id watch_ = 0;
};

}  // namespace

SelfService::SelfService(Description description, SelfPort& port, StopBoard& stop)
    : description_(std::move(description)), port_(port), stop_(stop) {}

grpc::ServerUnaryReactor* SelfService::Describe(grpc::CallbackServerContext* context,
                                                const v1::DescribeRequest* /*request*/,
                                                v1::DescribeResponse* response) {
  const Description& d = description_;
  response->set_name(d.name);
  response->mutable_labels()->insert(d.labels.begin(), d.labels.end());
  response->set_generation(d.generation);
  response->set_spec_json(d.spec_json);
  response->set_restarts(d.restarts);
  v1::Limits* limits = response->mutable_limits();
  limits->set_memory_bytes(d.limits.memory_bytes);
  limits->set_cpu_millis(d.limits.cpu_millis);
  limits->set_pids(d.limits.pids);
  limits->set_disk_bytes(d.limits.disk_bytes);
  limits->set_open_files(d.limits.open_files);
  return finish(context, {});
}

grpc::ServerUnaryReactor* SelfService::Usage(grpc::CallbackServerContext* context,
                                             const v1::UsageRequest* /*request*/,
                                             v1::UsageResponse* response) {
  agent::Usage usage = port_.usage();
  response->set_cpu_nanos(usage.cpu_nanos);
  response->set_memory_bytes(usage.memory_bytes);
  response->set_memory_peak_bytes(usage.memory_peak_bytes);
  response->set_pids(usage.pids);
  response->set_disk_used_bytes(usage.disk_used_bytes);
  response->set_calls(usage.calls);
  return finish(context, {});
}

grpc::ServerUnaryReactor* SelfService::Log(grpc::CallbackServerContext* context,
                                           const v1::LogRequest* request,
                                           v1::LogResponse* /*response*/) {
  // Counted before they are copied: a message of empty records is small and long.
  if (static_cast<std::size_t>(request->records_size()) > kMaxRecords) {
    return finish(context, fail(Code::kInvalidArgument, "more than 100 records in one call"));
  }
  auto lines = format_records(decode(*request));
  if (!lines) return finish(context, tl::unexpected(lines.error()));
  for (std::string& line : *lines) {
    if (Status kept = port_.log(std::move(line)); !kept) return finish(context, kept);
  }
  return finish(context, {});
}

grpc::ServerUnaryReactor* SelfService::Ready(grpc::CallbackServerContext* context,
                                             const v1::ReadyRequest* /*request*/,
                                             v1::ReadyResponse* /*response*/) {
  port_.ready();
  return finish(context, {});
}

// The worker has noted it when it passed: it counts while control is away, too.
grpc::ServerUnaryReactor* SelfService::Beat(grpc::CallbackServerContext* context,
                                            const v1::BeatRequest* /*request*/,
                                            v1::BeatResponse* /*response*/) {
  return finish(context, {});
}

grpc::ServerWriteReactor<v1::StopNotice>* SelfService::WatchStop(
    grpc::CallbackServerContext* /*context*/, const v1::WatchStopRequest* /*request*/) {
  auto stream = std::make_unique<StopStream>(stop_);
  stream->begin();
  return stream.release();  // until OnDone
}

}  // namespace flodea::agent
