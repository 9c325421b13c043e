// How many descriptors flodead and its services may have (getrlimit(2), RLIMIT_NOFILE), and how
// many agents that is enough for. Inherited by the services; sandboxes and jobs set limits of their
// own.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace flodea::root {

// Measured: 11 of flodead's for an agent that runs, 13 of control's, 2 of the vault's.
inline constexpr std::uint64_t kOpenFilesPerAgent = 16;
inline constexpr std::uint64_t kOpenFilesBeside = 256;  // its own, and those of starts under way
// Enough for as many agents as there may be by default.
inline constexpr std::uint64_t kOpenFilesWanted = 4096 * kOpenFilesPerAgent + kOpenFilesBeside;

// To what is wanted where that is allowed, else to the hard limit. What it is then.
Result<std::uint64_t> raise_open_files();

std::uint32_t agents_for(std::uint64_t open_files);

}  // namespace flodea::root
