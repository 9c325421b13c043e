// JSON ↔ protobuf for every method that is linked in, from the descriptors alone: a new module
// needs no line here. One thread. Params and replies are untrusted input of protobuf's own parsers,
// which bound nesting at 100.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace google::protobuf {
class FieldDescriptor;
class MethodDescriptor;
}  // namespace google::protobuf

namespace flodea::worker {

struct Method {
  const google::protobuf::MethodDescriptor* descriptor;
  std::string path;  // "/flodea.kernel.v1.Clock/Now"
  bool idempotent;   // by its option idempotency_level: may be sent again after a lost connection
  bool streams;      // the server answers with a stream
  bool client_streams;  // not offered to agents
  // A string field `dedup_key` of the request: the server does such a call once, however often it
  // comes. Null: none.
  const google::protobuf::FieldDescriptor* dedup_key;
};

struct EncodedRequest {
  std::string bytes;
  bool repeatable;  // sending it twice does no harm
};

class Transcoder {
 public:
  // Null: no such method. `name` is "flodea.kernel.v1.Clock/Now".
  const Method* find(std::string_view name);

  // kInvalidArgument: params do not fit the request, or an idempotency key for a method that takes
  // none.
  Result<EncodedRequest> encode(const Method& method, std::string_view params,
                                std::string_view idempotency_key) const;
  // kInternal: the reply is not of the method's type.
  Result<std::string> decode(const Method& method, std::string_view bytes) const;
  // The details of a serialized google.rpc.Status as a JSON array, or empty.
  static std::string details_json(std::string_view status);

 private:
  std::unordered_map<std::string, Method> methods_;  // those that exist and were asked for
};

}  // namespace flodea::worker
