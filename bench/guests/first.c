// What bench/start measures of a WebAssembly agent: the time of its first line, and of a module's answer.
#include <flodea.h>
#include <stdio.h>
#include <time.h>

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(void) {
  long long first = now();
  flodea_time answered;
  if (flodea_now(&answered) != 0) return 2;
  printf("first %lld answer %lld\n", first, now());
  return 1;
}
