// The command line of flodea-wasm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea::wasm {

struct Options {
  bool help = false;
  bool version = false;
  std::uint64_t memory = 0;            // bytes that the module's memory may grow to
  std::uint32_t table = 100'000;       // elements that each of its tables may have
  std::string code;                    // file that flodea-wasmc made
  std::vector<std::string> arguments;  // the module's, its own name first
};

extern const char* const kHelp;

// kInvalidArgument.
Result<Options> parse_options(const std::vector<std::string_view>& words);

}  // namespace flodea::wasm
