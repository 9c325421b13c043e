// The envelope of an agent's JSON-RPC lines: whatever an agent writes, parsing ends, and what it
// yields lies within the line.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "worker/json_rpc.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool within(std::string_view part, std::string_view line) {
  return part.empty() ||
         (part.data() >= line.data() && part.data() + part.size() <= line.data() + line.size());
}

// An error quotes whatever it is told: its line must be one line of JSON all the same.
void check_error_line(std::string_view id, std::string_view text) {
  std::string out;
  flodea::worker::append_rpc_error(id, -32000, text, {}, out);
  require(out.find('\n') == out.size() - 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view line(reinterpret_cast<const char*>(data), size);
  auto request = flodea::worker::parse_rpc_line(line);
  if (!request) {
    require(within(request.error().id, line));
    check_error_line(request.error().id, line.substr(0, 256));
    return 0;
  }
  require(!request->method.empty() && request->method.size() <= 256);
  require(request->id.size() <= 66 && request->idempotency_key.size() <= 128);
  for (auto part : {request->id, request->method, request->params, request->idempotency_key})
    require(within(part, line));
  auto control = flodea::worker::parse_rpc_control(request->params);
  if (control) require(within(control->id, line) && !control->id.empty());
  return 0;
}
