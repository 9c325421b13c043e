// The functions of module "flodea" as a WebAssembly module calls them: numbers and places in its
// memory, as sdk/wasm/include/flodea.h has them. A module is a stranger's: whatever it passes, it
// gets a number back, and nothing outside of its memory is read or written. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtimes/wasm/host/call_client.h"
#include "runtimes/wasm/host/guest.h"

namespace flodea::wasm {

class FlodeaImports {
 public:
  // Without a client every function answers kNotConnected: this is no agent.
  explicit FlodeaImports(std::optional<CallClient> client) : client_(std::move(client)) {}

  std::int32_t call(GuestMemory memory, std::uint32_t request, std::uint32_t request_length,
                    std::uint32_t reply, std::uint32_t capacity);
  std::int32_t reply(GuestMemory memory, std::uint32_t buffer, std::uint32_t capacity);
  std::int32_t open(GuestMemory memory, std::uint32_t request, std::uint32_t request_length);
  std::int32_t next(GuestMemory memory, std::int32_t handle, std::uint32_t buffer,
                    std::uint32_t capacity, std::int32_t timeout_ms);
  std::int32_t close(std::int32_t handle);

 private:
  std::int32_t deliver(std::string text, char* buffer, std::uint32_t capacity);

  std::optional<CallClient> client_;
  std::string kept_;  // what did not fit, or a stream's error, for reply()
};

}  // namespace flodea::wasm
