// Three kernels, each timed by its own clock: sha256, matrix, quicksort. Prints seconds and a check
// value, which must be the same wherever it runs.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

// The compression function of FIPS 180-4; the constants' values do not matter for its speed.
static uint32_t constants[64];

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
           (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
           (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; ++i) {
    uint32_t one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
                   constants[i] + w[i];
    uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + one;
    d = c, c = b, b = a, a = one + two;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static double sha256(void) {
  enum { kSize = 1 << 20, kRounds = 48 };
  uint32_t state[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  uint8_t *data = malloc(kSize);
  memset(data, 7, kSize);
  for (uint32_t i = 0; i < 64; ++i) constants[i] = i * 2654435761u;
  for (int round = 0; round < kRounds; ++round)
    for (int i = 0; i < kSize; i += 64) compress(state, data + i);
  return state[0];
}

static double matrix(void) {
  enum { kSide = 512, kRounds = 3 };
  double *a = malloc(kSide * kSide * sizeof *a), *b = malloc(kSide * kSide * sizeof *b);
  double *c = calloc(kSide * kSide, sizeof *c);
  for (int i = 0; i < kSide * kSide; ++i) a[i] = i % 7, b[i] = i % 5;
  for (int round = 0; round < kRounds; ++round)
    for (int i = 0; i < kSide; ++i)
      for (int k = 0; k < kSide; ++k)
        for (int j = 0; j < kSide; ++j) c[i * kSide + j] += a[i * kSide + k] * b[k * kSide + j];
  return c[77];
}

static void sort(uint32_t *data, int left, int right) {
  while (left < right) {
    uint32_t pivot = data[left + (right - left) / 2];
    int i = left, j = right;
    while (i <= j) {
      while (data[i] < pivot) ++i;
      while (data[j] > pivot) --j;
      if (i > j) break;
      uint32_t swapped = data[i];
      data[i++] = data[j];
      data[j--] = swapped;
    }
    if (j - left < right - i) {
      sort(data, left, j);
      left = i;
    } else {
      sort(data, i, right);
      right = j;
    }
  }
}

static double quicksort(void) {
  enum { kCount = 3000000 };
  uint32_t *data = malloc(kCount * sizeof *data), x = 1;
  for (int i = 0; i < kCount; ++i) data[i] = x = x * 1664525 + 1013904223;
  sort(data, 0, kCount - 1);
  return data[kCount / 2];
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  double (*kernel)(void) = strcmp(name, "sha256") == 0   ? sha256
                           : strcmp(name, "matrix") == 0 ? matrix
                                                         : quicksort;
  double start = now();
  double check = kernel();
  printf("%.6f %.0f\n", now() - start, check);
  return 0;
}
