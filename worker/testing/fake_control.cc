#include "worker/testing/fake_control.h"

#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <chrono>

#include <google/protobuf/any.pb.h>

#include "base/clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace flodea::worker::testing {
namespace {

using namespace std::chrono_literals;

constexpr auto kGuard = 20s;  // against a hang alone

grpc::Status with_details(grpc::StatusCode code, const std::string& message,
                          const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("flodea");
  status.add_details()->PackFrom(info);
  return {code, message, status.SerializeAsString()};
}

}  // namespace

void Gate::open() {
  std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

void Gate::arrive_and_wait(const grpc::ServerContext& context) {
  std::unique_lock lock(mutex_);
  ++arrived_;
  changed_.notify_all();
  while (!open_ && !context.IsCancelled())
    changed_.wait_for(lock, 5ms);  // gRPC's sync API can only be asked
}

bool Gate::wait_for_arrivals(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kGuard, [&] { return arrived_ >= count; });
}

class FakeControl::ClockService final : public kernel::v1::Clock::Service {
 public:
  explicit ClockService(FakeModules& modules) : modules_(modules) {}

 private:
  grpc::Status Now(grpc::ServerContext*, const kernel::v1::NowRequest*,
                   kernel::v1::NowResponse* reply) override {
    SystemClock clock;
    reply->set_wall_nanos(clock.wall().count());
    reply->set_monotonic_nanos(clock.monotonic().count());
    return grpc::Status::OK;
  }
  grpc::Status SleepUntil(grpc::ServerContext* context,
                          const kernel::v1::SleepUntilRequest* request,
                          kernel::v1::SleepUntilResponse* reply) override {
    if (request->until_case() == kernel::v1::SleepUntilRequest::UNTIL_NOT_SET) {
      return with_details(grpc::StatusCode::INVALID_ARGUMENT, "no time was given", "NO_TIME");
    }
    ++modules_.sleeps;
    modules_.sleep.arrive_and_wait(*context);
    reply->set_wall_nanos(1);
    return grpc::Status::OK;
  }
  FakeModules& modules_;
};

class FakeControl::StoreService final : public storage::v1::Store::Service {
 public:
  explicit StoreService(FakeModules& modules) : modules_(modules) {}

 private:
  grpc::Status Get(grpc::ServerContext*, const storage::v1::GetRequest* request,
                   storage::v1::GetResponse* reply) override {
    std::lock_guard lock(modules_.mutex);
    auto it = modules_.store.find(request->key());
    if (it == modules_.store.end())
      return with_details(grpc::StatusCode::NOT_FOUND, "no such key", "NO_KEY");
    reply->mutable_entry()->set_key(it->first);
    reply->mutable_entry()->set_value(it->second);
    reply->mutable_entry()->set_version(7);
    return grpc::Status::OK;
  }
  grpc::Status Put(grpc::ServerContext* context, const storage::v1::PutRequest* request,
                   storage::v1::PutResponse* reply) override {
    {
      std::lock_guard lock(modules_.mutex);
      modules_.store[request->key()] = request->value();
    }
    modules_.put.arrive_and_wait(*context);
    reply->set_version(1);
    return grpc::Status::OK;
  }
  grpc::Status Commit(grpc::ServerContext* context, const storage::v1::CommitRequest* request,
                      storage::v1::CommitResponse* reply) override {
    bool first = false;
    {
      std::lock_guard lock(modules_.mutex);
      first = ++modules_.commits[request->dedup_key()] == 1;
      for (const auto& put : request->puts()) modules_.store[put.key()] = put.value();
      for (const auto& key : request->deletes())
        reply->set_deleted(reply->deleted() +
                           static_cast<std::uint32_t>(modules_.store.erase(key)));
    }
    if (first) modules_.commit.arrive_and_wait(*context);
    reply->set_version(9);
    return grpc::Status::OK;
  }
  FakeModules& modules_;
};

class FakeControl::SelfService final : public agent::v1::Self::Service {
 public:
  explicit SelfService(FakeModules& modules) : modules_(modules) {}

 private:
  grpc::Status Ready(grpc::ServerContext*, const agent::v1::ReadyRequest*,
                     agent::v1::ReadyResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status Log(grpc::ServerContext*, const agent::v1::LogRequest* request,
                   agent::v1::LogResponse*) override {
    std::lock_guard lock(modules_.mutex);
    for (const auto& record : request->records()) modules_.log.push_back(record.message());
    return grpc::Status::OK;
  }
  grpc::Status WatchStop(grpc::ServerContext* context, const agent::v1::WatchStopRequest*,
                         grpc::ServerWriter<agent::v1::StopNotice>* writer) override {
    modules_.stop.arrive_and_wait(*context);
    agent::v1::StopNotice notice;
    notice.set_reason("operator");
    notice.set_deadline_nanos(42);
    writer->Write(notice);
    return grpc::Status::OK;
  }
  FakeModules& modules_;
};

FakeControl::FakeControl(UniqueFd socket, FakeModules& modules)
    : clock_(std::make_unique<ClockService>(modules)),
      store_(std::make_unique<StoreService>(modules)),
      self_(std::make_unique<SelfService>(modules)) {
  if (auto copy = socket.duplicate()) copy_ = std::move(*copy);
  grpc::ServerBuilder builder;
  builder.RegisterService(clock_.get());
  builder.RegisterService(store_.get());
  builder.RegisterService(self_.get());
  server_ = builder.BuildAndStart();
  grpc::AddInsecureChannelFromFd(server_.get(), socket.release());
}

FakeControl::~FakeControl() {
  cut();
  server_->Shutdown(std::chrono::system_clock::now());
}

void FakeControl::cut() { ::shutdown(copy_.get(), SHUT_RDWR); }

}  // namespace flodea::worker::testing
