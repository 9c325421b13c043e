#include "runtimes/wasm/host/stop_signal.h"

#include <signal.h>

namespace flodea::wasm {
namespace {

int watchers = 0;

void set_handler(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

StopSignal::StopSignal() {
  if (watchers++ == 0) set_handler([](int) {});
}

StopSignal::~StopSignal() {
  if (--watchers == 0) set_handler(SIG_DFL);
}

}  // namespace flodea::wasm
