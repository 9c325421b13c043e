#include "runtimes/wasm/settings.h"

#include <fmt/format.h>
#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

#include <vector>

#include "base/text.h"

namespace flodea::wasm {
namespace {

// Rises with any change of make_engine that changes the code.
constexpr int kSettings = 1;
// The most that the engine takes. The kernel gives the main thread 8 MiB, so that deep recursion
// ends as a trap and not as SIGSEGV.
constexpr std::size_t kStackBytes = 2 << 20;
constexpr std::size_t kLongestMessage = 1000;

#if defined(__x86_64__)
std::string processor() {
  unsigned words[4] = {};
  unsigned features[4] = {};
  if (__get_cpuid(1, &words[0], &words[1], &words[2], &words[3]) != 0) {
    features[0] = words[2];
    features[1] = words[3];
  }
  if (__get_cpuid_count(7, 0, &words[0], &words[1], &words[2], &words[3]) != 0) {
    features[2] = words[1];
    features[3] = words[2];
  }
  return fmt::format("x86_64-{:08x}{:08x}{:08x}{:08x}", features[0], features[1], features[2],
                     features[3]);
}
#else
std::string processor() {
  return fmt::format("hwcap-{:x}-{:x}", ::getauxval(AT_HWCAP), ::getauxval(AT_HWCAP2));
}
#endif

// "Caused by:" and the numbers of causes say nothing that a colon does not.
std::string_view without_decoration(std::string_view line) {
  std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos || line.substr(begin) == "Caused by:") return {};
  line.remove_prefix(begin);
  std::size_t digits = line.find_first_not_of("0123456789");
  if (digits != 0 && digits != std::string_view::npos && line.substr(digits, 2) == ": ")
    line.remove_prefix(digits + 2);
  return line;
}

}  // namespace

wasmtime::Engine make_engine() {
  wasmtime::Config config;
  config.max_wasm_stack(kStackBytes);
  config.parallel_compilation(false);
  // One memory of 32 bits: one limit, and bounds checks by guard pages.
  config.wasm_memory64(false);
  config.wasm_multi_memory(false);
  config.wasm_custom_page_sizes(false);
  // Not what compilers of WASI preview 1 commands emit; kept away from hostile modules.
  config.wasm_gc(false);
  config.wasm_function_references(false);
  config.wasm_exceptions(false);
  config.wasm_wide_arithmetic(false);
  return wasmtime::Engine(std::move(config));
}

std::string engine_identity() {
  return fmt::format("{}/{}/{}", kWasmtimeVersion, kSettings, processor());
}

std::string one_line(const std::string& message) {
  std::string joined;
  std::size_t at = 0;
  while (at <= message.size()) {
    std::size_t end = std::min(message.find('\n', at), message.size());
    std::string_view part = without_decoration(std::string_view(message).substr(at, end - at));
    if (!part.empty()) joined += (joined.empty() ? "" : ": ") + std::string(part);
    at = end + 1;
  }
  return clean_line(joined, kLongestMessage);
}

}  // namespace flodea::wasm
