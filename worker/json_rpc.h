// JSON-RPC 2.0 as agents speak it (docs/agent_protocol.md): the envelope alone. `params` stay text
// until the method is known. Everything here is bounded by the line it is given, which an agent
// wrote: hostile input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::worker {

// Errors of the protocol itself have JSON-RPC's own codes; those of a module are −32000 − gRPC
// code.
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
constexpr int rpc_error_code(int grpc_code) { return -32000 - grpc_code; }

// Slices of the line.
struct RpcRequest {
  std::string_view id;      // token as written: an integer of ≤ 16 digits or a string of ≤ 64 plain
                            // characters; empty: a notification
  std::string_view method;  // ≤ 256 characters
  std::string_view params;  // an object, or empty
  std::string_view idempotency_key;          // 1–128 plain characters, or empty
  std::optional<std::uint32_t> deadline_ms;  // 1 to 2^31
};

struct RpcProblem {
  int code;
  const char* message;
  std::string_view id;  // of the request at fault where it could be read, else empty
};

tl::expected<RpcRequest, RpcProblem> parse_rpc_line(std::string_view line);

// params of the notifications `cancel` {id} and `credit` {id, n}; n is 0 for `cancel`.
struct RpcControl {
  std::string_view id;
  std::uint32_t n = 0;  // 1 to 2^31
};
std::optional<RpcControl> parse_rpc_control(std::string_view params);

// Each appends one line to `out`. `json` is a whole JSON value; an empty `id` is written as null.
void append_rpc_result(std::string_view id, std::string_view json, std::string& out);
void append_rpc_error(std::string_view id, int code, std::string_view message,
                      std::string_view data_json, std::string& out);
void append_rpc_item(std::string_view id, std::uint64_t seq, std::string_view json,
                     std::string& out);

}  // namespace flodea::worker
