// flodea-wasmc: compiles one module. Standard input is the module, standard output the machine
// code, standard error one line. Exit status: 0 compiled; 1 the module is refused, and the line is
// for its author; 2 wrong arguments; 3 it could not read, write or run the engine. It opens no file
// and asks for no descriptor: it runs on modules of strangers, in a sandbox that leaves it nothing
// else (policy/profiles/wasm-compiler.json). Threads: this one.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/number.h"
#include "base/safe_path.h"
#include "runtimes/wasm/compiler/module_checks.h"
#include "runtimes/wasm/settings.h"

namespace flodea::wasm {
namespace {

enum Exit { kCompiled = 0, kRefused = 1, kUsage = 2, kFailed = 3 };

constexpr const char* kHelp =
    "Usage: flodea-wasmc [--max-memory BYTES] < MODULE > CODE\n"
    "       flodea-wasmc --version\n"
    "  --max-memory  what the module's memory may have at its start; default 4294967296\n"
    "  --version     last word: what compiled code depends on\n";

struct Options {
  bool help = false;
  bool version = false;
  std::uint64_t most_memory = 1ull << 32;
};

Result<Options> parse(const std::vector<std::string_view>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--help") {
      options.help = true;
    } else if (arguments[i] == "--version") {
      options.version = true;
    } else if (arguments[i] == "--max-memory" && i + 1 < arguments.size()) {
      auto bytes = parse_number<std::uint64_t>(arguments[++i]);
      if (!bytes) return fail(Code::kInvalidArgument, "--max-memory wants a number of bytes");
      options.most_memory = *bytes;
    } else {
      return fail(Code::kInvalidArgument,
                  "unknown or incomplete argument " + std::string(arguments[i]));
    }
  }
  return options;
}

int say(Exit status, const std::string& line) {
  fmt::print(stderr, "{}\n", line);
  return status;
}

Status write_code(const wasmtime::Module& module) {
  wasm_byte_vec_t code;
  if (wasmtime_error_t* error = ::wasmtime_module_serialize(module.capi(), &code))
    return fail(Code::kInternal, one_line(wasmtime::Error(error).message()));
  Status written = write_all(STDOUT_FILENO, std::string_view(code.data, code.size));
  ::wasm_byte_vec_delete(&code);
  return written;
}

int compile(const Options& options) {
  auto module = read_all(STDIN_FILENO, kLongestModule);
  if (!module && module.error().code == Code::kOutOfRange)
    return say(kRefused, refuse_long_module().value().describe());
  if (!module) return say(kFailed, "flodea-wasmc: read the module: " + module.error().describe());
  if (Status checked = check_module(*module, options.most_memory); !checked)
    return say(kRefused, checked.error().describe());
  auto engine = make_engine();
  auto* data = reinterpret_cast<std::uint8_t*>(module->data());
  auto compiled = wasmtime::Module::compile(engine, {data, module->size()});
  if (!compiled) return say(kRefused, one_line(compiled.err().message()));
  if (Status written = write_code(compiled.ok()); !written)
    return say(kFailed, "flodea-wasmc: " + written.error().describe());
  return kCompiled;
}

}  // namespace

int main_of_compiler(const std::vector<std::string_view>& arguments) {
  auto options = parse(arguments);
  if (!options) return say(kUsage, "flodea-wasmc: " + options.error().describe() + " (try --help)");
  if (options->help) {
    fmt::print("{}", kHelp);
    return kCompiled;
  }
  if (options->version) {
    fmt::print("flodea-wasmc {}, Wasmtime {}\n", FLODEA_VERSION, engine_version());
    return kCompiled;
  }
  return compile(*options);
}

}  // namespace flodea::wasm

int main(int argc, char** argv) { return flodea::wasm::main_of_compiler({argv + 1, argv + argc}); }
