// The checks of a module before its compilation (runtimes/wasm/compiler): no read past its end, and
// what they say is one line. The engine that they guard is not instrumented and not fuzzed here.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtimes/wasm/compiler/module_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view module(reinterpret_cast<const char*>(data), size);
  auto checked = flodea::wasm::check_module(module, 1 << 20);
  if (checked) return 0;
  std::string text = checked.error().describe();
  if (text.empty() || text.find('\n') != std::string::npos) std::abort();
  return 0;
}
