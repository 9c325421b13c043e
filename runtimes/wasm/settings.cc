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

// The features for which the compiler chooses instructions.
std::vector<std::uint64_t> processor_features() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  std::vector<std::uint64_t> features;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) features.insert(features.end(), {c, d});
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) features.insert(features.end(), {b, c});
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0) features.push_back(c);  // LZCNT
  // XGETBV, where the kernel has enabled it (OSXSAVE): whether AVX's registers are kept.
  if (!features.empty() && (features[0] & (1u << 27)) != 0) {
    unsigned low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    features.push_back(low);
  }
  return features;
#else
  return {::getauxval(AT_HWCAP), ::getauxval(AT_HWCAP2)};
#endif
}

std::uint32_t hash(const std::vector<std::uint64_t>& words) {
  std::uint64_t value = 0xcbf29ce484222325;  // FNV-1a, by words
  for (std::uint64_t word : words) value = (value ^ word) * 0x100000001b3;
  return static_cast<std::uint32_t>(value ^ (value >> 32));
}

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

std::string engine_version() {
  return fmt::format("{}+{}.{:08x}", kWasmtimeVersion, kSettings, hash(processor_features()));
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
