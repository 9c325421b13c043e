// How both programs set up the engine. Code compiled with other settings, by another version or for
// another processor is refused when it is loaded, so whoever keeps compiled code keys it by
// engine_version(). No epoch interruption and no fuel: measured, they cost up to three times the
// speed; an agent's CPU time is its cgroup's business, and its end a signal.
#pragma once

#include <cstdint>
#include <string>

#include <wasmtime.hh>

namespace flodea::wasm {

inline constexpr std::uint64_t kPageBytes = 64 * 1024;  // of linear memory
inline constexpr const char* kWasmtimeVersion = "48.0.8";

// Compiles without threads: measured, two CPUs gain little, and the compiler's sandbox needs no
// clone.
wasmtime::Engine make_engine();

// All that compiled code depends on: "48.0.8+1.5d3a01f7" is Wasmtime's version, the number of our
// settings, and a hash of the processor's features. Both programs say it last in --version.
std::string engine_version();

// The engine's messages have many lines and quote names of the module: one line of clean text.
std::string one_line(const std::string& message);

}  // namespace flodea::wasm
