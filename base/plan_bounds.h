// What operators may apply in one go, as the supervisor's Plan takes it and the CLI sends it.
#pragma once

#include <cstddef>

namespace flodea {

inline constexpr std::size_t kMaxPlanned = 4096;  // manifests: as many agents as a host may have
inline constexpr std::size_t kMaxPlanBytes = 8 << 20;  // of the request

}  // namespace flodea
