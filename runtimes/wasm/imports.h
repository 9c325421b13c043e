// What a module may import: the functions of WASI preview 1 and Flodea's own, with their types.
// The types are checked when a module is compiled, so that a mistake is told at apply and not by a
// start that fails.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace flodea::wasm {

inline constexpr std::string_view kWasiModule = "wasi_snapshot_preview1";
inline constexpr std::string_view kFlodeaModule = "flodea";

// Parameters and results, a letter each: i = i32, I = i64, f = f32, F = f64, v = v128, r = a
// reference.
struct FunctionType {
  std::string parameters;
  std::string results;
  bool operator==(const FunctionType&) const = default;
  std::string describe() const;  // "(i32, i64) -> i32"
};

// The type of an import that Flodea provides, or nothing.
std::optional<FunctionType> import_type(std::string_view module, std::string_view name);

// Names of `module`'s imports near to `name`, nearest first; for messages.
std::string import_meant_by(std::string_view module, std::string_view name);

}  // namespace flodea::wasm
