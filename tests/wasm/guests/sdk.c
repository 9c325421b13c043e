// Each call of the SDK once; its answers as lines.
#include <flodea.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(const char *what, int status) {
  printf("%s: %d %s\n", what, status, status == 0 ? "" : flodea_error_text());
}

int main(int argc, char **argv) {
  flodea_time now = {0, 0};
  void *value = NULL;
  size_t length = 0;
  uint64_t version = 0, wanted = 7;
  int existed = 0;
  char *json = NULL;
  if (argc > 1 && strcmp(argv[1], "stop") == 0) {
    printf("asked: %d\n", flodea_stop_requested());
    fflush(stdout);
    printf("stopped: %d\n", flodea_wait_stop(-1));
    return 3;
  }
  show("now", flodea_now(&now));
  printf("%lld %lld\n", (long long)now.wall_nanos, (long long)now.monotonic_nanos);
  show("sleep", flodea_sleep(5000));
  show("put", flodea_put("k\"\n", 3, "v\0w", 3, &wanted, &version));
  printf("%llu\n", (unsigned long long)version);
  show("get", flodea_get("k", 1, &value, &length, &version));
  printf("%zu %llu %s\n", length, (unsigned long long)version, (char *)value);
  show("missing", flodea_get("none", 4, &value, &length, NULL));
  show("delete", flodea_delete("k", 1, NULL, &existed));
  printf("%d\n", existed);
  show("log", flodea_log(FLODEA_WARNING, "a \"line\"\n\x01"));
  show("ready", flodea_ready());
  show("large", flodea_call("test/Large", NULL, &json));
  printf("%zu\n", json == NULL ? 0 : strlen(json));
  show("unknown", flodea_call("test/None", "{\"a\": [1, 2]}", NULL));
  show("broken", flodea_call("test/None", "{\"a\":", NULL));
  return 0;
}
