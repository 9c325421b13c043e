// flodea-wasm: runs a module that flodea-wasmc compiled, as an agent. It never compiles.
// docs/runtimes/wasm.md.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

#include "base/number.h"
#include "runtimes/wasm/host/instance.h"
#include "runtimes/wasm/settings.h"

namespace flodea::wasm {
namespace {

// Of FLODEA_FD; without it the module runs, and its calls say that it is no agent.
FlodeaImports imports_from_environment() {
  const char* text = std::getenv("FLODEA_FD");
  auto fd = text == nullptr ? std::nullopt : parse_number<int>(text);
  if (!fd || *fd < 0) return FlodeaImports(std::nullopt);
  return FlodeaImports(CallClient(UniqueFd(*fd)));
}

// The module sees /proc, and through /proc/self/mem it could rewrite the code that holds it. The
// files of a process that is not dumpable belong to root.
Status close_own_memory() {
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("prctl(PR_SET_DUMPABLE)");
  return {};
}

int run(const std::vector<std::string_view>& words) {
  auto options = parse_options(words);
  if (!options) {
    fmt::print(stderr, "flodea-wasm: {} (try --help)\n", options.error().describe());
    return kCannotRun;
  }
  if (options->help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (options->version) {
    fmt::print("flodea-wasm {}, Wasmtime {}\n", FLODEA_VERSION, engine_version());
    return 0;
  }
  if (Status closed = close_own_memory(); !closed) {
    fmt::print(stderr, "flodea-wasm: {}\n", closed.error().describe());
    return kCannotRun;
  }
  return run_module(*options, imports_from_environment());
}

}  // namespace
}  // namespace flodea::wasm

int main(int argc, char** argv) {
  int status = flodea::wasm::run({argv + 1, argv + argc});
  std::fflush(nullptr);
  ::_exit(status);  // nothing is left that an orderly end would do
}
