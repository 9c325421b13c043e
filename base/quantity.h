// Quantities as people write them in manifests, by Kubernetes' and Go's conventions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace flodea {

// "64Mi", "1Gi", "512Ki" (powers of 1024), "10M", "2G", "5k" (powers of 1000), or plain bytes.
// Refused: fractions, signs, overflow, other suffixes.
Result<std::uint64_t> parse_bytes(std::string_view text);
// "200ms", "5s", "2m", "1h", "1h30m", "1.5s"; units ns, us, ms, s, m, h. A unit is needed, but for
// "0". Refused: negative; OUT_OF_RANGE: over 366 days.
Result<Nanos> parse_duration(std::string_view text);
// CPUs: "0.5", "2", "250m" (thousandths of a core) → millicores, 0 to 1,024,000.
Result<std::uint32_t> parse_cpu_millis(std::string_view text);

std::string format_bytes(
    std::uint64_t bytes);  // exact where it can be ("64Mi"), else one decimal ("1.4Gi")
std::string format_duration(Nanos duration);  // "200ms", "1.5s", "2m5s"
std::string format_rfc3339(Nanos wall);       // "2026-01-02T03:04:05.678901234Z"
Result<Nanos> parse_rfc3339(
    std::string_view text);  // RFC 3339 with up to 9 fractional digits and a zone

}  // namespace flodea
