// What flodead reads of control: whatever passes has ids that parse and can be encoded again.
#include <cstdlib>

#include "supervisor/root/request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flodea;
  auto request = root::decode_request({reinterpret_cast<const char*>(data), size});
  if (!request) {
    if (request.error().message.empty()) std::abort();
    return 0;
  }
  if (request->id() == 0 || request->verb_case() == root::v1::Request::VERB_NOT_SET) std::abort();
  if (request->has_start() && !AgentId::parse(request->start().agent_id())) std::abort();
  if (request->has_start() && !BundleDigest::from_hex(request->start().bundle())) std::abort();
  auto again = root::decode_request(request->SerializeAsString());
  if (!again) std::abort();
  return 0;
}
