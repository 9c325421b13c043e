#include "runtimes/wasm/compiler/module_checks.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "runtimes/wasm/compiler/byte_reader.h"
#include "runtimes/wasm/imports.h"

namespace flodea::wasm {
namespace {

constexpr std::uint64_t kPage = 64 * 1024;
constexpr std::size_t kPreamble = 8;  // magic and version
constexpr std::size_t kShownName = 80;

enum Section : std::uint8_t { kTypes = 1, kImports = 2, kFunctions = 3, kMemory = 5, kExports = 7 };
enum Kind : std::uint8_t { kFunction = 0, kTable = 1, kMemoryKind = 2, kGlobal = 3, kTag = 4 };

template <class... Args>
tl::unexpected<Error> refuse(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Code::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...));
}

std::string shown(std::string_view name) { return clean_line(name, kShownName); }

// Reads the sections that say what a module is, and keeps what is asked about afterwards.
class Module {
 public:
  explicit Module(std::uint64_t most_memory) : most_memory_(most_memory) {}

  Status read(std::string_view bytes);
  Status check_exports() const;

 private:
  Status read_section(std::uint8_t id, ByteReader section);
  Status read_types(ByteReader& section);
  Status read_imports(ByteReader& section);
  Status read_functions(ByteReader& section);
  Status read_memories(ByteReader& section);
  Status read_exports(ByteReader& section);
  Result<std::string> value_types(ByteReader& section) const;
  Status check_import(std::string_view module, std::string_view name, const FunctionType& type);
  Result<FunctionType> type_at(std::uint32_t index) const;

  std::uint64_t most_memory_;
  std::vector<FunctionType> types_;
  std::vector<std::uint32_t> functions_;  // the type of each, imported ones first
  std::int64_t start_ = -1;               // the function exported as _start
  bool exports_memory_ = false;
  bool exports_initialize_ = false;
};

Status Module::read(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(reader.part(kPreamble));
  while (!reader.at_end()) {
    std::uint8_t id = TRY(reader.byte());
    std::uint32_t size = TRY(reader.u32());
    ByteReader section = TRY(reader.part(size));
    TRY(read_section(id, section));
  }
  return {};
}

Status Module::read_section(std::uint8_t id, ByteReader section) {
  switch (id) {
    case kTypes:
      return read_types(section);
    case kImports:
      return read_imports(section);
    case kFunctions:
      return read_functions(section);
    case kMemory:
      return read_memories(section);
    case kExports:
      return read_exports(section);
    default:
      return {};
  }
}

Result<std::string> Module::value_types(ByteReader& section) const {
  std::string out;
  for (std::uint32_t left = TRY(section.u32()); left > 0; --left) {
    std::size_t offset = section.offset();
    switch (std::uint8_t type = TRY(section.byte())) {
      case 0x7f:
        out += 'i';
        break;
      case 0x7e:
        out += 'I';
        break;
      case 0x7d:
        out += 'f';
        break;
      case 0x7c:
        out += 'F';
        break;
      case 0x7b:
        out += 'v';
        break;
      case 0x70:
      case 0x6f:
        out += 'r';
        break;
      default:
        return refuse("value type {:#x} at offset {} is none that Flodea takes", type, offset);
    }
  }
  return out;
}

Status Module::read_types(ByteReader& section) {
  for (std::uint32_t left = TRY(section.u32()); left > 0; --left) {
    std::size_t offset = section.offset();
    std::uint8_t form = TRY(section.byte());
    if (form != 0x60)
      return refuse(
          "type form {:#x} at offset {} is no function; compile without garbage-collected "
          "types",
          form, offset);
    FunctionType type;
    type.parameters = TRY(value_types(section));
    type.results = TRY(value_types(section));
    types_.push_back(std::move(type));
  }
  return {};
}

Result<FunctionType> Module::type_at(std::uint32_t index) const {
  if (index >= types_.size()) return refuse("a function has type {}, which does not exist", index);
  return types_[index];
}

Status Module::read_imports(ByteReader& section) {
  for (std::uint32_t left = TRY(section.u32()); left > 0; --left) {
    std::string_view module = TRY(section.name());
    std::string_view name = TRY(section.name());
    std::uint8_t kind = TRY(section.byte());
    if (kind == kMemoryKind)
      return refuse(
          "imports the memory {}.{}; a command has a memory of its own: link without "
          "--import-memory",
          shown(module), shown(name));
    if (kind != kFunction)
      return refuse("imports {}.{}, which is no function; Flodea provides only functions",
                    shown(module), shown(name));
    functions_.push_back(TRY(section.u32()));
    FunctionType type = TRY(type_at(functions_.back()));
    TRY(check_import(module, name, type));
  }
  return {};
}

std::string import_remedy(std::string_view module, std::string_view name) {
  if (module == "env" && name == "abort")
    return "compile with the configuration of @assemblyscript/wasi-shim";
  if (module == "env") return "define the function, or link the library that has it";
  if (module == "wasi_unstable") return "compile for wasi_snapshot_preview1";
  if (std::string meant = import_meant_by(module, name); !meant.empty())
    return "did you mean " + meant + "?";
  return "it has wasi_snapshot_preview1 and flodea, see docs/runtimes/wasm.md";
}

Status Module::check_import(std::string_view module, std::string_view name,
                            const FunctionType& type) {
  auto known = import_type(module, name);
  if (!known)
    return refuse("imports {}.{}, which Flodea does not provide; {}", shown(module), shown(name),
                  import_remedy(module, name));
  if (*known != type)
    return refuse("imports {}.{} as {}, but it is {}; declare it so", module, name, type.describe(),
                  known->describe());
  return {};
}

Status Module::read_functions(ByteReader& section) {
  for (std::uint32_t left = TRY(section.u32()); left > 0; --left)
    functions_.push_back(TRY(section.u32()));
  return {};
}

Status Module::read_memories(ByteReader& section) {
  std::uint32_t count = TRY(section.u32());
  if (count > 1) return refuse("has {} memories; Flodea takes modules of one", count);
  if (count == 0) return {};
  std::uint8_t flags = TRY(section.byte());
  if ((flags & 2) != 0) return refuse("its memory is shared; compile without threads");
  if ((flags & 4) != 0) return refuse("its memory is of 64 bits; compile for wasm32");
  std::uint64_t pages = TRY(section.u32());
  if (pages * kPage > most_memory_)
    return refuse(
        "begins with {} bytes of memory, but its manifest leaves it {}; raise "
        "spec.resources.memory, or link with less",
        pages * kPage, most_memory_);
  return {};
}

Status Module::read_exports(ByteReader& section) {
  for (std::uint32_t left = TRY(section.u32()); left > 0; --left) {
    std::string_view name = TRY(section.name());
    std::uint8_t kind = TRY(section.byte());
    std::uint32_t index = TRY(section.u32());
    if (name == "memory" && kind == kMemoryKind) exports_memory_ = true;
    if (name == "_start" && kind == kFunction) start_ = index;
    if (name == "_initialize" && kind == kFunction) exports_initialize_ = true;
  }
  return {};
}

Status Module::check_exports() const {
  if (start_ < 0 && exports_initialize_)
    return refuse(
        "is a WASI reactor: it exports _initialize, not _start; build a command, with main()");
  if (start_ < 0) return refuse("exports no function _start; build a WASI command, with main()");
  if (static_cast<std::size_t>(start_) >= functions_.size())
    return refuse("exports as _start function {}, which does not exist", start_);
  FunctionType type = TRY(type_at(functions_[start_]));
  if (type != FunctionType{})
    return refuse("its _start is {}; a WASI command's takes and returns nothing", type.describe());
  if (!exports_memory_) return refuse("exports no memory named \"memory\"; a WASI command has to");
  return {};
}

Status check_preamble(std::string_view module) {
  using namespace std::string_view_literals;
  if (module.empty()) return refuse("the file is empty; name a WebAssembly module");
  if (!module.starts_with("\0asm"sv))
    return refuse(
        "is no WebAssembly module: it does not begin with \\0asm; name a compiled .wasm "
        "file");
  std::string_view version = module.substr(4, 4);
  if (version == "\x0d\0\x01\0"sv)
    return refuse("is a WebAssembly component; build a core module for WASI preview 1");
  if (version.size() == 4 && version != "\1\0\0\0"sv)
    return refuse("is WebAssembly of another version; build a core module of version 1");
  return {};
}

}  // namespace

tl::unexpected<Error> refuse_long_module() {
  return refuse("is larger than {} bytes; strip it, as with -Wl,--strip-all", kLongestModule);
}

Status check_module(std::string_view module, std::uint64_t most_memory) {
  if (module.size() > kLongestModule) return refuse_long_module();
  TRY(check_preamble(module));
  Module facts(most_memory);
  TRY(facts.read(module));
  return facts.check_exports();
}

}  // namespace flodea::wasm
