#include "supervisor/control/agents/call_meter.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <utility>

namespace flodea::control {
namespace {

namespace ge = grpc::experimental;

constexpr const char* kServices[] = {"flodea.kernel.v1.Clock", "flodea.storage.v1.Store",
                                     "flodea.agent.v1.Self"};

std::string name_of(grpc::StatusCode code) {
  if (code == grpc::StatusCode::OK) return "OK";
  return std::string(code_name(static_cast<Code>(code)));
}

// Lives as long as gRPC's own record of the call, so it reports exactly once, however the call
// ends.
class MeteredCall final : public ge::Interceptor {
 public:
  MeteredCall(std::shared_ptr<CallMeter> meter, const char* method)
      : meter_(std::move(meter)),
        label_(meter_->label_of(method)),
        began_(meter_->clock().monotonic()) {
    meter_->began();
  }
  ~MeteredCall() override { meter_->ended(label_, code_, meter_->clock().monotonic() - began_); }

  void Intercept(ge::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(ge::InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = methods->GetSendStatus().error_code();
    }
    methods->Proceed();
  }

 private:
  std::shared_ptr<CallMeter> meter_;
  std::string_view label_;  // the meter's: gRPC frees a generic call's method before this object
  Nanos began_;
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;
};

}  // namespace

MethodNames hosted_methods() {
  MethodNames names;
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const char* name : kServices) {
    const auto* service = pool->FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      names.insert("/" + service->full_name() + "/" + service->method(i)->name());
    }
  }
  return names;
}

std::string_view CallMeter::label_of(std::string_view method) const {
  auto known = methods_.find(method);
  return known == methods_.end() ? "unknown" : std::string_view(*known).substr(1);
}

void CallMeter::ended(std::string_view label, grpc::StatusCode code, Nanos duration) {
  auto index = std::clamp<std::size_t>(static_cast<std::size_t>(code), 0, by_code_.size() - 1);
  by_code_[index].fetch_add(1, std::memory_order_relaxed);
  if (!observer_) return;
  observer_(agent_, std::string(label), name_of(code), duration);
}

std::map<std::string, std::uint64_t> CallMeter::calls_by_code() const {
  std::map<std::string, std::uint64_t> counts;
  for (std::size_t i = 0; i < by_code_.size(); ++i) {
    std::uint64_t count = by_code_[i].load(std::memory_order_relaxed);
    if (count > 0) counts[name_of(static_cast<grpc::StatusCode>(i))] = count;
  }
  return counts;
}

ge::Interceptor* CallMeterFactory::CreateServerInterceptor(ge::ServerRpcInfo* info) {
  return std::make_unique<MeteredCall>(meter_, info->method()).release();  // gRPC's from here on
}

}  // namespace flodea::control
