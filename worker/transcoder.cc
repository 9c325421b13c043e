#include "worker/transcoder.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include <google/protobuf/descriptor.pb.h>

#include "google/rpc/status.pb.h"

namespace flodea::worker {
namespace pb = google::protobuf;
namespace {

constexpr std::string_view kPackage = "flodea.";

std::unique_ptr<pb::Message> make_message(const pb::Descriptor* type) {
  return std::unique_ptr<pb::Message>(
      pb::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

pb::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

// Protobuf quotes the agent's own bytes in its messages: only ASCII goes back.
std::string readable(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) >= 0x7f; }, '?');
  return text;
}

const pb::FieldDescriptor* dedup_field(const pb::Descriptor* request) {
  const auto* field = request->FindFieldByName("dedup_key");
  bool fits = field != nullptr && field->type() == pb::FieldDescriptor::TYPE_STRING &&
              !field->is_repeated();
  return fits ? field : nullptr;
}

Method describe(const pb::MethodDescriptor* method) {
  auto level = method->options().idempotency_level();
  return {.descriptor = method,
          .path = "/" + method->service()->full_name() + "/" + method->name(),
          .idempotent = level != pb::MethodOptions::IDEMPOTENCY_UNKNOWN,
          .streams = method->server_streaming(),
          .client_streams = method->client_streaming(),
          .dedup_key = dedup_field(method->input_type())};
}

}  // namespace

const Method* Transcoder::find(std::string_view name) {
  std::string key(name);
  if (auto it = methods_.find(key); it != methods_.end()) return &it->second;
  auto slash = key.find('/');
  if (slash == std::string::npos || !key.starts_with(kPackage)) return nullptr;
  std::string full = key;
  full[slash] = '.';
  const auto* method = pb::DescriptorPool::generated_pool()->FindMethodByName(full);
  if (method == nullptr || method->service()->full_name().size() != slash) return nullptr;
  return &methods_.emplace(std::move(key), describe(method)).first->second;
}

Result<EncodedRequest> Transcoder::encode(const Method& method, std::string_view params,
                                          std::string_view idempotency_key) const {
  auto message = make_message(method.descriptor->input_type());
  if (!params.empty()) {
    auto status = pb::util::JsonStringToMessage(piece(params), message.get());
    if (!status.ok())
      return fail(Code::kInvalidArgument, "params: " + readable(std::string(status.message())));
  }
  bool keyed = false;
  if (method.dedup_key != nullptr) {
    if (!idempotency_key.empty())
      message->GetReflection()->SetString(message.get(), method.dedup_key,
                                          std::string(idempotency_key));
    keyed = !message->GetReflection()->GetString(*message, method.dedup_key).empty();
  } else if (!idempotency_key.empty() && !method.idempotent) {
    return fail(Code::kInvalidArgument, "this method takes no idempotency_key");
  }
  return EncodedRequest{.bytes = message->SerializeAsString(),
                        .repeatable = method.idempotent || keyed};
}

Result<std::string> Transcoder::decode(const Method& method, std::string_view bytes) const {
  auto message = make_message(method.descriptor->output_type());
  std::string json;
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !pb::util::MessageToJsonString(*message, &json).ok()) {
    return fail(Code::kInternal, "the reply of " + method.path + " is not of its type");
  }
  return json;
}

std::string Transcoder::details_json(std::string_view status) {
  google::rpc::Status parsed;
  if (status.empty() || !parsed.ParseFromArray(status.data(), static_cast<int>(status.size())))
    return {};
  std::string out;
  for (const auto& detail : parsed.details()) {
    std::string json;
    if (!pb::util::MessageToJsonString(detail, &json).ok())
      continue;  // a type that this worker does not know
    out += out.empty() ? "[" : ",";
    out += json;
  }
  return out.empty() ? out : out + "]";
}

}  // namespace flodea::worker
