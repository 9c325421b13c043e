// What is asked of a module before the compiler sees it: that it is a core module of WASI's kind
// "command", that it imports only what there is, and that its memory fits the manifest. The module
// is a stranger's; whether its code is valid is left to the engine. Pure: no I/O, memory bounded by
// a small multiple of the module's size.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace flodea::wasm {

inline constexpr std::size_t kLongestModule = 32 << 20;  // bytes

// most_memory: bytes that its linear memory may have at its start. kInvalidArgument: one line for
// the module's author, with what to do.
Status check_module(std::string_view module, std::uint64_t most_memory);
// What check_module says of a module past kLongestModule.
tl::unexpected<Error> refuse_long_module();

}  // namespace flodea::wasm
