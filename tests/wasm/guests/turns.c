// Ten times a second a call and a line, for tests of what outlives the supervisor: the count, how
// long the call took, and what it said if it failed.
#include <flodea.h>
#include <stdio.h>
#include <time.h>

enum { kPauseNanos = 100000000 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(void) {
  for (long turn = 1; flodea_stop_requested() == 0; ++turn) {
    flodea_time now = {0, 0};
    double began = seconds();
    int status = flodea_now(&now);
    printf("turn %ld ms=%.1f %s\n", turn, (seconds() - began) * 1000,
           status == 0 ? "ok" : flodea_error_text());
    fflush(stdout);
    flodea_sleep(kPauseNanos);
  }
  return 0;
}
