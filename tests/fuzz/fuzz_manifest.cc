// Any bytes as a manifest: refused with a line and a remedy, or read into a message that
// serialises. Never a crash, a hang or a large tree.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/manifest/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto parsed =
      flodea::cli::parse_manifest({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  if (!parsed) {
    const flodea::Error& error = parsed.error();
    if (!error.message.starts_with("fuzz.yaml:") || error.remedy.empty()) std::abort();
    return 0;
  }
  flodea::operators::v1::AgentManifest again;
  if (!again.ParseFromString(parsed->message.SerializeAsString())) std::abort();
  return 0;
}
