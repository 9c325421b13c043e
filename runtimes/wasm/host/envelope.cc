#include "runtimes/wasm/host/envelope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace flodea::wasm {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 4> kMembers{"method", "params", "deadline_ms",
                                                   "idempotency_key"};

// Looks at a request without building it: its nesting, its members, its method.
class RequestScanner : public nlohmann::json_sax<Json> {
 public:
  std::string method;
  bool has_method = false;

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& text) override {
    if (depth_ == 1 && key_ == "method") {
      method = text;
      has_method = true;
    }
    return value();
  }
  bool start_object(std::size_t) override { return ++depth_ <= kDeepest; }
  bool start_array(std::size_t) override { return depth_ > 0 && ++depth_ <= kDeepest; }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    auto it = std::ranges::find(kMembers, name);
    if (it == kMembers.end() || std::ranges::find(seen_, name) != seen_.end()) return false;
    seen_.push_back(name);
    key_ = name;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  // A request is an object: no value stands outside of it.
  bool value() const { return depth_ > 0; }

  int depth_ = 0;
  std::string key_;
  std::vector<std::string> seen_;
};

std::optional<std::uint64_t> id_of(const Json& message) {
  auto it = message.find("id");
  if (it == message.end() || !it->is_number_unsigned()) return std::nullopt;
  return it->get<std::uint64_t>();
}

std::optional<Incoming> read_item(const Json& message) {
  auto method = message.find("method");
  auto params = message.find("params");
  if (method == message.end() || *method != "stream") return std::nullopt;
  if (params == message.end() || !params->is_object()) return std::nullopt;
  auto item = params->find("message");
  if (item == params->end()) return std::nullopt;
  return Incoming{Incoming::Kind::kItem, id_of(*params), json_text(*item)};
}

}  // namespace

GuestResult<Request> read_request(std::string_view text) {
  if (text.size() > kLongestMessage) return refuse(GuestError::kTooLong);
  // The parser takes a zero byte for the end, whatever follows.
  if (text.find('\0') != std::string_view::npos) return refuse(GuestError::kInvalid);
  RequestScanner scanner;
  if (!Json::sax_parse(text, &scanner) || !scanner.has_method) return refuse(GuestError::kInvalid);
  std::size_t open = text.find('{');
  std::string members(text.substr(open + 1, text.rfind('}') - open - 1));
  // Within strings there are none, so what is replaced is white space.
  std::ranges::replace_if(members, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return Request{std::move(scanner.method), std::move(members)};
}

std::string call_line(std::uint64_t id, const Request& request) {
  return fmt::format("{{\"jsonrpc\":\"2.0\",\"id\":{},{}}}\n", id, request.members);
}

std::string credit_line(std::uint64_t id, std::uint32_t n) {
  return fmt::format(
      "{{\"jsonrpc\":\"2.0\",\"method\":\"credit\",\"params\":{{\"id\":{},\"n\":{}}}}}\n", id, n);
}

std::string cancel_line(std::uint64_t id) {
  return fmt::format("{{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{{\"id\":{}}}}}\n",
                     id);
}

std::optional<Incoming> read_line(std::string_view line) {
  Json message = try_parse_json(line);
  if (!message.is_object()) return std::nullopt;
  if (auto result = message.find("result"); result != message.end())
    return Incoming{Incoming::Kind::kAnswer, id_of(message),
                    "{\"result\":" + json_text(*result) + "}"};
  if (auto error = message.find("error"); error != message.end())
    return Incoming{Incoming::Kind::kError, id_of(message),
                    "{\"error\":" + json_text(*error) + "}"};
  return read_item(message);
}

}  // namespace flodea::wasm
