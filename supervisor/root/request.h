// Reading what control sends: the only parser of flodead that faces another process. Bounded, pure,
// fuzzed (tests/fuzz/fuzz_root_protocol.cc). What passes has ids and figures within their ranges;
// whether it can be done is decided later.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "flodea/root/v1/root.pb.h"

namespace flodea::root {

inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::uint64_t kMinVolumeBytes = 16ull << 20;
inline constexpr std::uint64_t kMaxVolumeBytes = 16ull << 40;
inline constexpr std::uint64_t kMinMemoryBytes = 4ull << 20;
inline constexpr std::uint32_t kMaxPids = 32768;
inline constexpr std::uint32_t kMaxOpenFiles = 16384;
inline constexpr std::uint32_t kMaxPage = 200;
inline constexpr int kMaxJobArguments = 16;
inline constexpr std::size_t kMaxJobArgumentBytes = 4096;

// kInvalidArgument with the field at fault. A message that cannot even be answered (no id, no
// protobuf) has an empty field.
Result<v1::Request> decode_request(std::string_view bytes);

}  // namespace flodea::root
