// Between what a module says and what goes over the wire (docs/agent_protocol.md). The module gives
// a request without `jsonrpc` and `id`, which are the host's; it gets the answer without them.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtimes/wasm/host/guest.h"

namespace flodea::wasm {

struct Request {
  std::string method;
  std::string members;  // of the JSON object, between its braces, on one line
};

// A JSON object with `method` and perhaps `params`, `deadline_ms`, `idempotency_key`, each once;
// UTF-8, nested at most kDeepest. kInvalid, kTooLong.
GuestResult<Request> read_request(std::string_view text);
inline constexpr int kDeepest = 64;

// Lines for the worker, each with its '\n'.
std::string call_line(std::uint64_t id, const Request& request);
std::string credit_line(std::uint64_t id, std::uint32_t n);
std::string cancel_line(std::uint64_t id);

// A line of the worker's.
struct Incoming {
  enum class Kind { kAnswer, kError, kItem };
  Kind kind = Kind::kAnswer;
  std::optional<std::uint64_t> id;  // none: an error about a line whose id could not be read
  std::string text;                 // {"result":…}, {"error":…}, or a stream's message
};

// Nothing where it is none of the above: then the peer is no worker.
std::optional<Incoming> read_line(std::string_view line);

}  // namespace flodea::wasm
