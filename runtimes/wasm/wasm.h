// The WebAssembly runtime: a WASI preview 1 command of the bundle, compiled at apply, run by
// flodea-wasm. docs/runtimes/wasm.md.
#pragma once

#include <cstdint>

#include "runtimes/runtime.h"

namespace flodea {

// Where the sandbox shows the entry point's compiled code.
inline constexpr const char* kWasmCode = "/app/.flodea/module.cwasm";

// Bytes of a module; flodea-wasmc refuses longer ones too.
inline constexpr std::uint64_t kLongestWasmModule = 32ull << 20;

// What flodea-wasm ends with when a module gives up for want of memory; a module itself cannot.
inline constexpr int kWasmOutOfMemory = 137;

Runtime wasm_runtime();

// Bytes that the module's memory may grow to: what the manifest gives less what the worker and the
// engine need. Also what its compiler is told as --max-memory.
std::uint64_t wasm_memory_limit(const Resources& resources);

}  // namespace flodea
