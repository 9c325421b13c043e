#include "supervisor/control/operators/standard_services.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include <google/protobuf/descriptor.pb.h>

namespace flodea::control {
namespace {

namespace health = grpc::health::v1;
namespace reflection = grpc::reflection::v1alpha;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// Sends one status, then stays open: it does not change before the server ends.
class Watcher final : public grpc::ServerWriteReactor<health::HealthCheckResponse> {
 public:
  static std::shared_ptr<Watcher> make(health::HealthCheckResponse::ServingStatus status) {
    auto watcher = std::make_shared<Watcher>();
    watcher->self_ = watcher;
    watcher->response_.set_status(status);
    watcher->StartWrite(&watcher->response_);
    return watcher;
  }
  void OnCancel() override {
    if (!over_.exchange(true)) Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
  }
  void OnDone() override { auto last = std::move(self_); }

 private:
  health::HealthCheckResponse response_;
  std::atomic<bool> over_ = false;
  std::shared_ptr<Watcher> self_;
};

void add_file(const FileDescriptor* file, std::set<std::string>& seen,
              reflection::FileDescriptorResponse& out) {
  if (!seen.insert(file->name()).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  *out.add_file_descriptor_proto() = proto.SerializeAsString();
  for (int i = 0; i < file->dependency_count(); ++i) add_file(file->dependency(i), seen, out);
}

void answer_file(const FileDescriptor* file, reflection::ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message("no such symbol or file here");
    return;
  }
  std::set<std::string> seen;
  add_file(file, seen, *response.mutable_file_descriptor_response());
}

const FileDescriptor* file_of_extension(const reflection::ExtensionRequest& wanted) {
  const DescriptorPool* pool = DescriptorPool::generated_pool();
  const Descriptor* type = pool->FindMessageTypeByName(wanted.containing_type());
  const auto* extension =
      type == nullptr ? nullptr : pool->FindExtensionByNumber(type, wanted.extension_number());
  return extension == nullptr ? nullptr : extension->file();
}

void answer_extension_numbers(const std::string& type_name,
                              reflection::ServerReflectionResponse& response) {
  const DescriptorPool* pool = DescriptorPool::generated_pool();
  const Descriptor* type = pool->FindMessageTypeByName(type_name);
  if (type == nullptr) return answer_file(nullptr, response);
  std::vector<const google::protobuf::FieldDescriptor*> extensions;
  pool->FindAllExtensions(type, &extensions);
  response.mutable_all_extension_numbers_response()->set_base_type_name(type_name);
  for (const auto* extension : extensions)
    response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
}

void answer_one(const reflection::ServerReflectionRequest& request,
                const std::vector<std::string>& services,
                reflection::ServerReflectionResponse& response) {
  using Request = reflection::ServerReflectionRequest;
  const DescriptorPool* pool = DescriptorPool::generated_pool();
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return answer_file(pool->FindFileByName(request.file_by_filename()), response);
    case Request::kFileContainingSymbol:
      return answer_file(pool->FindFileContainingSymbol(request.file_containing_symbol()),
                         response);
    case Request::kFileContainingExtension:
      return answer_file(file_of_extension(request.file_containing_extension()), response);
    case Request::kAllExtensionNumbersOfType:
      return answer_extension_numbers(request.all_extension_numbers_of_type(), response);
    case Request::kListServices:
      for (const std::string& name : services)
        response.mutable_list_services_response()->add_service()->set_name(name);
      return;
    case Request::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  response.mutable_error_response()->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
  response.mutable_error_response()->set_error_message("the request asks nothing");
}

class Reflector final : public grpc::ServerBidiReactor<reflection::ServerReflectionRequest,
                                                       reflection::ServerReflectionResponse> {
 public:
  explicit Reflector(const std::vector<std::string>& services) : services_(services) {}
  static std::shared_ptr<Reflector> make(const std::vector<std::string>& services) {
    auto reflector = std::make_shared<Reflector>(services);
    reflector->self_ = reflector;
    reflector->StartRead(&reflector->request_);
    return reflector;
  }
  void OnReadDone(bool ok) override {
    if (!ok) return end();
    response_.Clear();
    answer_one(request_, services_, response_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return end();
    StartRead(&request_);
  }
  void OnDone() override { auto last = std::move(self_); }

 private:
  // Only ever from the completion of the one operation in flight, so once; a cancelled call's
  // operations complete with ok false.
  void end() { Finish(grpc::Status::OK); }

  const std::vector<std::string>& services_;
  reflection::ServerReflectionRequest request_;
  reflection::ServerReflectionResponse response_;
  std::shared_ptr<Reflector> self_;
};

}  // namespace

bool HealthService::knows(const std::string& service) const {
  return service.empty() || std::ranges::find(services_, service) != services_.end();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const health::HealthCheckRequest* request,
                                               health::HealthCheckResponse* response) {
  auto* reactor = context->DefaultReactor();
  response->set_status(health::HealthCheckResponse::SERVING);
  reactor->Finish(knows(request->service())
                      ? grpc::Status::OK
                      : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service here"));
  return reactor;
}

grpc::ServerWriteReactor<health::HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext*, const health::HealthCheckRequest* request) {
  bool known = knows(request->service());
  return Watcher::make(known ? health::HealthCheckResponse::SERVING
                             : health::HealthCheckResponse::SERVICE_UNKNOWN)
      .get();
}

grpc::ServerBidiReactor<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse>*
ReflectionService::ServerReflectionInfo(grpc::CallbackServerContext*) {
  return Reflector::make(services_).get();
}

}  // namespace flodea::control
