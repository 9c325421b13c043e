#include "runtimes/wasm/host/instance.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/text.h"
#include "runtimes/wasm/imports.h"
#include "runtimes/wasm/settings.h"

namespace flodea::wasm {
namespace {

constexpr std::size_t kShownFrames = 8;
constexpr std::size_t kShownName = 60;
constexpr std::int64_t kMostTables = 16;
constexpr std::uint64_t kLittleLeft = 16;  // a sixteenth of its memory

void say(std::string_view line) { fmt::print(stderr, "flodea-wasm: {}\n", line); }

class Instance {
 public:
  Instance(const Options& options, FlodeaImports imports)
      : options_(options),
        imports_(std::move(imports)),
        engine_(make_engine()),
        store_(engine_),
        linker_(engine_) {}

  int run();

 private:
  Status set_up_wasi();
  Status define_imports();
  Result<wasmtime::Module> load();
  int start(const wasmtime::Module& module);
  int ended(const wasmtime::TrapError& error);
  int trapped(const std::string& what, const wasmtime::Trace& trace);
  bool memory_is_full();

  const Options& options_;
  FlodeaImports imports_;
  wasmtime::Engine engine_;
  wasmtime::Store store_;
  wasmtime::Linker linker_;
  std::optional<wasmtime::Instance> instance_;
};

Status engine_error(std::string_view step, const wasmtime::Error& error) {
  return fail(Code::kInternal, std::string(step) + ": " + one_line(error.message()));
}

// All variables but the number of a descriptor that means nothing in there.
std::vector<std::pair<std::string, std::string>> variables() {
  std::vector<std::pair<std::string, std::string>> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view variable(*entry);
    std::size_t equals = variable.find('=');
    if (equals == std::string_view::npos || !is_utf8(variable)) continue;
    std::string_view name = variable.substr(0, equals);
    if (name != "FLODEA_FD") out.emplace_back(name, variable.substr(equals + 1));
  }
  return out;
}

Status Instance::set_up_wasi() {
  for (const std::string& argument : options_.arguments)
    if (!is_utf8(argument)) return fail(Code::kInvalidArgument, "an argument is not UTF-8");
  wasmtime::WasiConfig wasi;
  wasi.argv(options_.arguments);
  wasi.env(variables());
  wasi.inherit_stdin();
  wasi.inherit_stdout();
  wasi.inherit_stderr();
  if (!wasi.preopen_dir("/", "/", true)) return fail(Code::kInternal, "cannot open /");
  if (auto set = store_.context().set_wasi(std::move(wasi)); !set)
    return engine_error("WASI", set.err());
  if (auto defined = linker_.define_wasi(); !defined) return engine_error("WASI", defined.err());
  return {};
}

// The module's memory as it is now; it may move whenever the module runs.
GuestMemory memory_of(wasmtime::Caller& caller) {
  auto found = caller.get_export("memory");
  auto* memory = found ? std::get_if<wasmtime::Memory>(&*found) : nullptr;
  if (memory == nullptr) return {};
  auto bytes = memory->data(caller.context());
  return {bytes.data(), bytes.size()};
}

Status Instance::define_imports() {
  using wasmtime::Caller;
  using I = std::int32_t;
  using U = std::uint32_t;
  auto defined = {
      linker_.func_wrap(kFlodeaModule, "call",
                        [this](Caller caller, U request, U length, U reply, U capacity) -> I {
                          return imports_.call(memory_of(caller), request, length, reply, capacity);
                        }),
      linker_.func_wrap(kFlodeaModule, "reply",
                        [this](Caller caller, U buffer, U capacity) -> I {
                          return imports_.reply(memory_of(caller), buffer, capacity);
                        }),
      linker_.func_wrap(kFlodeaModule, "open",
                        [this](Caller caller, U request, U length) -> I {
                          return imports_.open(memory_of(caller), request, length);
                        }),
      linker_.func_wrap(kFlodeaModule, "next",
                        [this](Caller caller, I handle, U buffer, U capacity, I timeout_ms) -> I {
                          return imports_.next(memory_of(caller), handle, buffer, capacity,
                                               timeout_ms);
                        }),
      linker_.func_wrap(kFlodeaModule, "close",
                        [this](I handle) -> I { return imports_.close(handle); }),
  };
  for (const auto& function : defined)
    if (!function) return fail(Code::kInternal, "define the imports of module flodea");
  return {};
}

Result<wasmtime::Module> Instance::load() {
  auto module = wasmtime::Module::deserialize_file(engine_, options_.code);
  if (!module)
    return fail(
        Code::kInvalidArgument,
        fmt::format("{} cannot be run: {}; compile the module with this build's flodea-wasmc",
                    options_.code, one_line(module.err().message())));
  return module.ok();
}

int Instance::run() {
  store_.limiter(static_cast<std::int64_t>(options_.memory), options_.table, 1, kMostTables, 1);
  auto ready = [this]() -> Result<wasmtime::Module> {
    TRY(set_up_wasi());
    TRY(define_imports());
    return load();
  }();
  if (ready) return start(*ready);
  say(ready.error().describe());
  return kCannotRun;
}

int Instance::start(const wasmtime::Module& module) {
  auto made = linker_.instantiate(store_, module);
  if (!made) return ended(made.err());
  instance_ = made.ok();
  auto found = instance_->get(store_, "_start");
  auto* entry = found ? std::get_if<wasmtime::Func>(&*found) : nullptr;
  if (entry == nullptr) {
    say(options_.code + " exports no function _start");
    return kCannotRun;
  }
  auto result = entry->call(store_, {});
  return result ? 0 : ended(result.err());
}

// A program that cannot have more memory gives up by a trap: abort() in C, unreachable elsewhere.
// What it asked for in vain is not known; that little is left is.
bool Instance::memory_is_full() {
  auto found = instance_ ? instance_->get(store_, "memory") : std::nullopt;
  auto* memory = found ? std::get_if<wasmtime::Memory>(&*found) : nullptr;
  return memory != nullptr &&
         memory->size(store_) * kPageBytes > options_.memory - options_.memory / kLittleLeft;
}

// Without the engine's own account of the backtrace, which has many lines.
std::string cause(const std::string& message) {
  constexpr std::string_view kMark = "Caused by:";
  std::size_t mark = message.find(kMark);
  return one_line(mark == std::string::npos ? message : message.substr(mark + kMark.size()));
}

std::string trap_text(const wasmtime::Trap& trap) {
  switch (trap.code().value_or(0xff)) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
      return "the call stack is used up";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
      return "out-of-bounds memory access";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
      return "out-of-bounds table access";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
      return "call of a null function pointer";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
      return "call of a function of another type";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
      return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
      return "integer division by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
      return "number too large for an integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
      return "abort (unreachable code)";
    default:
      return cause(trap.message());
  }
}

// Innermost first. Names come from the module.
std::string backtrace(const wasmtime::Trace& trace) {
  std::string out;
  std::size_t shown = 0;
  for (const wasmtime::FrameRef& frame : trace) {
    if (shown++ == kShownFrames) return out + " < …";
    auto name = frame.func_name();
    out += out.empty() ? " at " : " < ";
    out += name ? clean_line(*name, kShownName) : fmt::format("function {}", frame.func_index());
    out += fmt::format("+{:#x}", frame.func_offset());
  }
  return out;
}

int Instance::trapped(const std::string& what, const wasmtime::Trace& trace) {
  bool full = memory_is_full();
  std::string why =
      full ? fmt::format(", with its memory at the limit of {} bytes", options_.memory) : "";
  say(fmt::format("trap: {}{}{}", what, why, backtrace(trace)));
  return full ? kOutOfMemory : kTrapped;
}

int Instance::ended(const wasmtime::TrapError& error) {
  if (auto* trap = std::get_if<wasmtime::Trap>(&error.data))
    return trapped(trap_text(*trap), trap->trace());
  auto& failure = std::get<wasmtime::Error>(error.data);
  if (auto status = failure.i32_exit()) return *status;
  if (instance_) return trapped(cause(failure.message()), failure.trace());
  say(options_.code + " cannot be run: " + one_line(failure.message()));
  return kCannotRun;
}

}  // namespace

int run_module(const Options& options, FlodeaImports imports) {
  return Instance(options, std::move(imports)).run();
}

}  // namespace flodea::wasm
