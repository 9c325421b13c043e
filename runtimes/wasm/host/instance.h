// Runs one compiled module to its end. Owns the engine and all that is the module's; one thread,
// beside those of the engine's WASI, which block for it.
//
// Compiled code is trusted: it is mapped and jumped into. Whoever starts this has checked that the
// file is what flodea-wasmc made. What the module may do is what this process may: WASI shows it
// all of `/`.
#pragma once

#include "runtimes/wasm/host/flodea_imports.h"
#include "runtimes/wasm/host/options.h"

namespace flodea::wasm {

// Above 125 the module itself cannot end with them.
enum ExitStatus { kCannotRun = 126, kTrapped = 134, kOutOfMemory = 137 };

// The exit status; what is above 125 was said on standard error in one line.
int run_module(const Options& options, FlodeaImports imports);

}  // namespace flodea::wasm
