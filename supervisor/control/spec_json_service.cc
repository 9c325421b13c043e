#include "supervisor/control/spec_json_service.h"

#include <google/protobuf/util/json_util.h>

#include "supervisor/control/operators/spec_codec.h"

namespace flodea::control {

std::string spec_json(const AgentManifest& manifest) {
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(encode_spec(manifest.spec), &json);
  return status.ok() ? json : "{}";
}

}  // namespace flodea::control
