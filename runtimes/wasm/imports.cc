#include "runtimes/wasm/imports.h"

#include <array>
#include <vector>

#include "base/text.h"

namespace flodea::wasm {
namespace {

struct Import {
  std::string_view module;
  std::string_view name;
  std::string_view parameters;
  std::string_view results;
};

// wasi_snapshot_preview1: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md.
// flodea: sdk/wasm/include/flodea.h.
constexpr auto kImports = std::to_array<Import>({
    {kWasiModule, "args_get", "ii", "i"},
    {kWasiModule, "args_sizes_get", "ii", "i"},
    {kWasiModule, "clock_res_get", "ii", "i"},
    {kWasiModule, "clock_time_get", "iIi", "i"},
    {kWasiModule, "environ_get", "ii", "i"},
    {kWasiModule, "environ_sizes_get", "ii", "i"},
    {kWasiModule, "fd_advise", "iIIi", "i"},
    {kWasiModule, "fd_allocate", "iII", "i"},
    {kWasiModule, "fd_close", "i", "i"},
    {kWasiModule, "fd_datasync", "i", "i"},
    {kWasiModule, "fd_fdstat_get", "ii", "i"},
    {kWasiModule, "fd_fdstat_set_flags", "ii", "i"},
    {kWasiModule, "fd_fdstat_set_rights", "iII", "i"},
    {kWasiModule, "fd_filestat_get", "ii", "i"},
    {kWasiModule, "fd_filestat_set_size", "iI", "i"},
    {kWasiModule, "fd_filestat_set_times", "iIIi", "i"},
    {kWasiModule, "fd_pread", "iiiIi", "i"},
    {kWasiModule, "fd_prestat_dir_name", "iii", "i"},
    {kWasiModule, "fd_prestat_get", "ii", "i"},
    {kWasiModule, "fd_pwrite", "iiiIi", "i"},
    {kWasiModule, "fd_read", "iiii", "i"},
    {kWasiModule, "fd_readdir", "iiiIi", "i"},
    {kWasiModule, "fd_renumber", "ii", "i"},
    {kWasiModule, "fd_seek", "iIii", "i"},
    {kWasiModule, "fd_sync", "i", "i"},
    {kWasiModule, "fd_tell", "ii", "i"},
    {kWasiModule, "fd_write", "iiii", "i"},
    {kWasiModule, "path_create_directory", "iii", "i"},
    {kWasiModule, "path_filestat_get", "iiiii", "i"},
    {kWasiModule, "path_filestat_set_times", "iiiiIIi", "i"},
    {kWasiModule, "path_link", "iiiiiii", "i"},
    {kWasiModule, "path_open", "iiiiiIIii", "i"},
    {kWasiModule, "path_readlink", "iiiiii", "i"},
    {kWasiModule, "path_remove_directory", "iii", "i"},
    {kWasiModule, "path_rename", "iiiiii", "i"},
    {kWasiModule, "path_symlink", "iiiii", "i"},
    {kWasiModule, "path_unlink_file", "iii", "i"},
    {kWasiModule, "poll_oneoff", "iiii", "i"},
    {kWasiModule, "proc_exit", "i", ""},
    {kWasiModule, "proc_raise", "i", "i"},
    {kWasiModule, "random_get", "ii", "i"},
    {kWasiModule, "sched_yield", "", "i"},
    {kWasiModule, "sock_accept", "iii", "i"},
    {kWasiModule, "sock_recv", "iiiiii", "i"},
    {kWasiModule, "sock_send", "iiiii", "i"},
    {kWasiModule, "sock_shutdown", "ii", "i"},
    {kFlodeaModule, "call", "iiii", "i"},
    {kFlodeaModule, "reply", "ii", "i"},
    {kFlodeaModule, "open", "ii", "i"},
    {kFlodeaModule, "next", "iiii", "i"},
    {kFlodeaModule, "close", "i", "i"},
});

std::string_view type_name(char letter) {
  switch (letter) {
    case 'i':
      return "i32";
    case 'I':
      return "i64";
    case 'f':
      return "f32";
    case 'F':
      return "f64";
    case 'v':
      return "v128";
    default:
      return "a reference";
  }
}

std::string type_list(std::string_view letters) {
  std::string out;
  for (char letter : letters) out += (out.empty() ? "" : ", ") + std::string(type_name(letter));
  return out;
}

}  // namespace

std::string FunctionType::describe() const {
  std::string result = results.size() == 1 ? type_list(results) : "(" + type_list(results) + ")";
  return "(" + type_list(parameters) + ") -> " + result;
}

std::optional<FunctionType> import_type(std::string_view module, std::string_view name) {
  for (const Import& import : kImports)
    if (import.module == module && import.name == name)
      return FunctionType{std::string(import.parameters), std::string(import.results)};
  return std::nullopt;
}

std::string import_meant_by(std::string_view module, std::string_view name) {
  std::vector<std::string> names;
  for (const Import& import : kImports)
    if (import.module == module) names.emplace_back(import.name);
  auto near = nearest(name, names, 1);
  return near.empty() ? "" : std::string(module) + "." + near.front();
}

}  // namespace flodea::wasm
