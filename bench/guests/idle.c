// An idle WebAssembly agent, for bench/memory.
#include <flodea.h>

int main(void) {
  if (flodea_ready() != 0) return 1;
  return flodea_wait_stop(-1) < 0;
}
