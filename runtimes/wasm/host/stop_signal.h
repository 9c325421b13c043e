// While one of these lives SIGTERM ends nothing: who watches for the request to stop wants to end
// by itself. What SIGTERM did before is restored. One thread.
#pragma once

namespace flodea::wasm {

class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
};

}  // namespace flodea::wasm
