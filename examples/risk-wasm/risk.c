// Risk figures of the positions in its bundle (or of the file it is given): exposure and one-day value at risk (95 %), in cents:
// money is never a float. They are written to its store whenever they have changed, and a line of
// its log says so. Then it stays until it is asked to stop.
#include <flodea.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSITIONS "/app/positions.csv"
#define FIGURES "risk/figures"

enum { kLongestLine = 256, kQuantile = 165, kPercent = 100, kBasisPoints = 10000 };

typedef struct {
  int positions;
  int64_t exposure_cents;
  int64_t at_risk_cents;  // the sum of the positions' own: no correlation helps
} figures;

static int give_up(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  return 1;
}

static int read_positions(const char *path, figures *out) {
  char line[kLongestLine], symbol[16];
  long long quantity, price, volatility;
  FILE *file = fopen(path, "r");
  if (file == NULL) return give_up(path, "cannot be opened");
  if (fgets(line, sizeof line, file) == NULL) return give_up(path, "is empty");
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "%15[^,],%lld,%lld,%lld", symbol, &quantity, &price, &volatility) != 4)
      return give_up(path, line);
    int64_t value = llabs(quantity * price);
    int64_t at_risk = value * volatility / kBasisPoints * kQuantile / kPercent;
    printf("%s: exposure %lld.%02lld, at risk %lld.%02lld\n", symbol, value / 100, value % 100,
           at_risk / 100, at_risk % 100);
    out->positions += 1;
    out->exposure_cents += value;
    out->at_risk_cents += at_risk;
  }
  fclose(file);
  return 0;
}

// 1: written; 0: the store has these figures already; below 0: it failed.
static int store(const figures *now) {
  char text[kLongestLine];
  void *before = NULL;
  size_t length = 0;
  uint64_t version = 0;  // 0: the key does not exist
  int size = snprintf(text, sizeof text, "{\"positions\":%d,\"exposure_cents\":%lld,\"at_risk_cents\":%lld}",
                      now->positions, now->exposure_cents, now->at_risk_cents);
  int status = flodea_get(FIGURES, strlen(FIGURES), &before, &length, &version);
  if (status != 0 && status != FLODEA_NOT_FOUND) return -1;
  int same = status == 0 && length == (size_t)size && memcmp(before, text, length) == 0;
  free(before);
  if (same) return 0;
  status = flodea_put(FIGURES, strlen(FIGURES), text, (size_t)size, &version, NULL);
  return status == 0 ? 1 : -1;
}

int main(int argc, char **argv) {
  figures now = {0, 0, 0};
  char line[kLongestLine];
  if (read_positions(argc > 1 ? argv[1] : POSITIONS, &now) != 0) return 1;
  int stored = store(&now);
  if (stored < 0) return give_up("store", flodea_error_text());
  snprintf(line, sizeof line, "%d positions, %lld.%02lld at risk: %s", now.positions,
           now.at_risk_cents / 100, now.at_risk_cents % 100, stored ? "stored" : "as before");
  if (flodea_log(FLODEA_INFO, line) != 0) return give_up("log", flodea_error_text());
  if (flodea_ready() != 0) return give_up("ready", flodea_error_text());
  fflush(stdout);
  int stop;
  while ((stop = flodea_wait_stop(-1)) == 0) continue;
  if (stop < 0) return give_up("wait for the stop", flodea_error_text());
  puts("stopped as asked");
  return 0;
}
