// What a module passes to the imports of module "flodea": any places and lengths in any memory, any
// text as a request, in any order, with any answers. Nothing outside the memory may be touched, and
// whatever reaches the worker is one line with the host's id and nothing of the module's beside it.
//
// The input: a byte for the size of the answers, the answers, and then steps of 13 bytes: a
// function and three numbers; the memory is the whole input.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtimes/wasm/host/envelope.h"
#include "runtimes/wasm/host/flodea_imports.h"

namespace {

using namespace flodea;
using namespace flodea::wasm;

constexpr std::size_t kStep = 13;
constexpr std::size_t kMostSteps = 32;
constexpr std::uint64_t kId = 77;

void must(bool holds) {
  if (!holds) std::abort();
}

void check_envelope(std::string_view text) {
  auto request = read_request(text);
  if (!request) return;
  std::string line = call_line(kId, *request);
  must(line.find('\n') == line.size() - 1);
  auto message = nlohmann::json::parse(line, nullptr, false);
  must(message.is_object() && message.at("id") == kId && message.at("jsonrpc") == "2.0");
  must(message.at("method") == request->method);
}

// Numbers that are near to something more often than chance would have it.
std::uint32_t number(const std::uint8_t* at, std::size_t memory) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  if ((value >> 24) < 0xc0) return value % static_cast<std::uint32_t>(memory + 2);
  return value;
}

void step(FlodeaImports& imports, GuestMemory memory, const std::uint8_t* at) {
  std::uint32_t a = number(at + 1, memory.size);
  std::uint32_t b = number(at + 5, memory.size);
  std::uint32_t c = number(at + 9, memory.size);
  switch (at[0] % 5) {
    case 0:
      imports.call(memory, a, b, c, at[9]);
      break;
    case 1:
      imports.reply(memory, a, b);
      break;
    case 2:
      imports.open(memory, a, b);
      break;
    case 3:
      imports.next(memory, at[12] % 4, a, b, 0);
      break;
    case 4:
      imports.close(at[12] % 4);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_envelope({reinterpret_cast<const char*>(data), size});
  if (size == 0) return 0;
  auto pair = make_socketpair(SOCK_STREAM);
  if (!pair) return 0;
  std::size_t answers = std::min<std::size_t>(data[0] * 16, size - 1);
  must(::send(pair->first.get(), data + 1, answers, MSG_NOSIGNAL) == static_cast<ssize_t>(answers));
  ::shutdown(pair->first.get(), SHUT_WR);  // who waits for more gets the end
  FlodeaImports imports(CallClient(std::move(pair->second)));
  std::vector<std::uint8_t> bytes(data, data + size);  // of just this size: a read past it is seen
  std::size_t steps = 0;
  for (std::size_t at = 1 + answers; at + kStep <= size && steps < kMostSteps; at += kStep, ++steps)
    step(imports, {bytes.data(), bytes.size()}, data + at);
  return 0;
}
