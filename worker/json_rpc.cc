#include "worker/json_rpc.h"

#include <algorithm>
#include <charconv>

#include "worker/json_scanner.h"

namespace flodea::worker {
namespace {

constexpr std::size_t kMaxIdDigits = 16;
constexpr std::size_t kMaxIdCharacters = 64;
constexpr std::size_t kMaxMethod = 256;
constexpr std::size_t kMaxKey = 128;
constexpr std::uint64_t kMaxCount = 1ULL << 31;

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_integer(std::string_view token) {
  return !token.empty() && token.size() <= kMaxIdDigits &&
         std::ranges::all_of(token, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_id(std::string_view token) {
  std::string_view content;
  if (is_integer(token)) return true;
  return plain_string(token, content) && !content.empty() && content.size() <= kMaxIdCharacters &&
         printable(content);
}

bool count_of(std::string_view token, std::uint32_t& out) {
  std::uint64_t value = 0;
  if (!is_integer(token)) return false;
  std::from_chars(token.data(), token.data() + token.size(), value);
  if (value == 0 || value > kMaxCount) return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

bool short_text(std::string_view token, std::size_t limit, std::string_view& out) {
  return out.empty() && plain_string(token, out) && !out.empty() && out.size() <= limit &&
         printable(out);
}

// One member of the envelope. Null: taken; else what is wrong. A member given twice is refused: two
// readers could see two requests.
const char* take_member(std::string_view name, std::string_view token, RpcRequest& request,
                        bool& version) {
  if (name == "jsonrpc") {
    if (version || token != "\"2.0\"") return "\"jsonrpc\" must be \"2.0\"";
    version = true;
  } else if (name == "id") {
    if (!request.id.empty() || !is_id(token))
      return "\"id\" must be an integer of up to 16 digits or a string of up to 64 plain "
             "characters";
    request.id = token;
  } else if (name == "method") {
    if (!short_text(token, kMaxMethod, request.method))
      return "\"method\" must be a string of up to 256 characters";
  } else if (name == "params") {
    if (!request.params.empty() || token.front() != '{') return "\"params\" must be an object";
    request.params = token;
  } else if (name == "idempotency_key") {
    if (!short_text(token, kMaxKey, request.idempotency_key))
      return "\"idempotency_key\" must be a string of 1 to 128 plain characters";
  } else if (name == "deadline_ms") {
    std::uint32_t ms = 0;
    if (request.deadline_ms || !count_of(token, ms))
      return "\"deadline_ms\" must be an integer from 1 to 2147483648";
    request.deadline_ms = ms;
  } else {
    return "unknown member of the request";
  }
  return nullptr;
}

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\', out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00", out += kHex[byte >> 4], out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
}

void begin(std::string_view id, std::string& out) {
  out += R"({"jsonrpc":"2.0","id":)";
  out += id.empty() ? std::string_view("null") : id;
}

}  // namespace

tl::expected<RpcRequest, RpcProblem> parse_rpc_line(std::string_view line) {
  RpcRequest request;
  JsonScanner json(line);
  std::string_view name, token;
  const char* wrong = nullptr;
  bool version = false;
  if (!json.enter_object())
    return tl::unexpected(RpcProblem{kParseError, "a line must be one JSON object", {}});
  while (json.next_member(name)) {
    if (!json.skip_value(token)) break;
    const char* problem = take_member(name, token, request, version);
    if (wrong == nullptr) wrong = problem;
  }
  if (json.failed() || !json.at_end())
    return tl::unexpected(RpcProblem{kParseError, "not JSON", {}});
  if (wrong == nullptr && !version) wrong = "\"jsonrpc\" must be \"2.0\"";
  if (wrong == nullptr && request.method.empty()) wrong = "\"method\" is missing";
  if (wrong != nullptr)
    return tl::unexpected(
        RpcProblem{kInvalidRequest, wrong, is_id(request.id) ? request.id : std::string_view()});
  return request;
}

std::optional<RpcControl> parse_rpc_control(std::string_view params) {
  RpcControl control;
  JsonScanner json(params);
  std::string_view name, token;
  if (!json.enter_object()) return std::nullopt;
  while (json.next_member(name)) {
    if (!json.skip_value(token)) return std::nullopt;
    if (name == "id" && control.id.empty() && is_id(token)) {
      control.id = token;
    } else if (name != "n" || control.n != 0 || !count_of(token, control.n)) {
      return std::nullopt;
    }
  }
  if (json.failed() || !json.at_end() || control.id.empty()) return std::nullopt;
  return control;
}

void append_rpc_result(std::string_view id, std::string_view json, std::string& out) {
  begin(id, out);
  out += R"(,"result":)";
  out += json;
  out += "}\n";
}

void append_rpc_error(std::string_view id, int code, std::string_view message,
                      std::string_view data_json, std::string& out) {
  begin(id, out);
  out += R"(,"error":{"code":)";
  out += std::to_string(code);
  out += R"(,"message":")";
  append_escaped(message, out);
  out += '"';
  if (!data_json.empty()) {
    out += R"(,"data":)";
    out += data_json;
  }
  out += "}}\n";
}

void append_rpc_item(std::string_view id, std::uint64_t seq, std::string_view json,
                     std::string& out) {
  out += R"({"jsonrpc":"2.0","method":"stream","params":{"id":)";
  out += id;
  out += R"(,"seq":)";
  out += std::to_string(seq);
  out += R"(,"message":)";
  out += json;
  out += "}}\n";
}

}  // namespace flodea::worker
