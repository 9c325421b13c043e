#include "proto/status_codec/status_codec.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace flodea {
namespace {

constexpr char kDomain[] = "flodea";
constexpr std::size_t kMaxDetailsBytes = 4096;  // the status travels in trailers, which are bounded

google::rpc::ErrorInfo error_info(const Error& error) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(code_name(error.code)));
  info.set_domain(kDomain);
  for (const auto& [key, value] : error.metadata) (*info.mutable_metadata())[key] = value;
  return info;
}

google::rpc::BadRequest bad_request(const Error& error) {
  google::rpc::BadRequest request;
  auto* violation = request.add_field_violations();
  violation->set_field(error.field);
  violation->set_description(error.message);
  return request;
}

google::rpc::Help help(const Error& error) {
  google::rpc::Help help;
  help.add_links()->set_description(error.remedy);
  return help;
}

void read_detail(const google::protobuf::Any& detail, Error& error) {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest request;
  google::rpc::Help help;
  if (detail.UnpackTo(&info) && info.domain() == kDomain) {
    for (const auto& [key, value] : info.metadata()) error.metadata.emplace_back(key, value);
  } else if (detail.UnpackTo(&request) && request.field_violations_size() > 0) {
    error.field = request.field_violations(0).field();
  } else if (detail.UnpackTo(&help) && help.links_size() > 0) {
    error.remedy = help.links(0).description();
  }
}

}  // namespace

grpc::Status to_grpc_status(const Error& error) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(error.message);
  status.add_details()->PackFrom(error_info(error));
  if (!error.field.empty()) status.add_details()->PackFrom(bad_request(error));
  if (!error.remedy.empty()) status.add_details()->PackFrom(help(error));
  std::string details = status.SerializeAsString();
  if (details.size() > kMaxDetailsBytes) details.clear();
  return {static_cast<grpc::StatusCode>(error.code), error.message, details};
}

Error from_grpc_status(const grpc::Status& status) {
  int code = status.error_code();
  bool known =
      code >= static_cast<int>(Code::kCancelled) && code <= static_cast<int>(Code::kDataLoss);
  Error error{.code = known ? static_cast<Code>(code) : Code::kUnknown,
              .message = status.error_message()};
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return error;
  for (const auto& detail : details.details()) read_detail(detail, error);
  return error;
}

}  // namespace flodea
