// A module that ends in the way its argument says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile kept;

// Takes memory in pieces until there is no more.
static size_t fill_memory(size_t piece) {
  size_t count = 0;
  for (char *data; (data = malloc(piece)) != NULL; ++count) {
    memset(data, 1, piece);
    kept = data;
  }
  return count;
}

static volatile int last_depth = 1 << 30;

// Without variables in memory: what is used up is the engine's stack, not the module's own.
static int recurse(int depth) {
  return depth == last_depth ? depth : recurse(depth + 1) + last_depth;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  volatile int zero = 0;
  if (strcmp(how, "exit") == 0) exit(atoi(argv[2]));
  if (strcmp(how, "return") == 0) return atoi(argv[2]);
  if (strcmp(how, "unflushed") == 0) printf("no line end");
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "divide") == 0) return 7 / zero;
  if (strcmp(how, "wild") == 0) return *(volatile int *)0x7ffffff0;
  if (strcmp(how, "recurse") == 0) return recurse(0);
  if (strcmp(how, "call") == 0) return ((int (*)(void))(intptr_t)12345)();
  if (strcmp(how, "grow") == 0)
    printf("%zu bytes\n", __builtin_wasm_memory_size(0) * (size_t)65536),
        printf("grow: %d\n", (int)__builtin_wasm_memory_grow(0, 65000));
  if (strcmp(how, "fill") == 0) printf("%zu pieces\n", fill_memory(10000));
  if (strcmp(how, "exhaust") == 0) {
    fill_memory(10000);
    abort();
  }
  if (strcmp(how, "open") == 0) {
    FILE *opened = fopen(argv[2], "r+");
    puts(opened == NULL ? "refused" : "opened");
  }
  if (strcmp(how, "spin") == 0) {
    puts("spinning");
    fflush(stdout);
    for (;;) kept = argv;
  }
  return 0;
}
