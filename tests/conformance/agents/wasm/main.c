// The conformance agent in C for WebAssembly: does what its first argument says. The same in each
// language; conformance_test.py reads what it prints.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "flodea.h"

static int words;
static char** word;

static const char* status_name(int status) {
  static const char* const kNames[] = {"OK",
                                       "CANCELLED",
                                       "UNKNOWN",
                                       "INVALID_ARGUMENT",
                                       "DEADLINE_EXCEEDED",
                                       "NOT_FOUND",
                                       "ALREADY_EXISTS",
                                       "PERMISSION_DENIED",
                                       "RESOURCE_EXHAUSTED",
                                       "FAILED_PRECONDITION",
                                       "ABORTED",
                                       "OUT_OF_RANGE",
                                       "UNIMPLEMENTED",
                                       "INTERNAL",
                                       "UNAVAILABLE",
                                       "DATA_LOSS"};
  return status >= 0 && status <= 15 ? kNames[status] : "NOT_SENT";
}

static const char* errno_name(void) {
  switch (errno) {
    case EACCES:
      return "EACCES";
    case EPERM:
      return "EPERM";
    case EROFS:
      return "EROFS";
    case ENOENT:
      return "ENOENT";
    case ENOSPC:
      return "ENOSPC";
    case EMFILE:
      return "EMFILE";
    case ENOMEM:
      return "ENOMEM";
    case ENOTCAPABLE:
      return "ENOTCAPABLE";
    case EIO:
      return "EIO";
    default:
      return strerror(errno);
  }
}

// --- module calls

// The file's text with each {"repeat":N} written out; one string, never freed.
static char* expanded(const char* params) {
  static const char kRepeat[] = "{\"repeat\":";
  char *out = calloc(1, strlen(params) + (512 << 10)), *end = out;
  while (*params != '\0') {
    if (strncmp(params, kRepeat, strlen(kRepeat)) != 0) {
      *end++ = *params++;
      continue;
    }
    char* after = NULL;
    long count = strtol(params + strlen(kRepeat), &after, 10);
    *end++ = '"';
    memset(end, 'A', (size_t)count);
    end += count;
    *end++ = '"';
    params = after + 1;
  }
  return out;
}

static int cases(void) {
  FILE* file = fopen("/app/cases.tsv", "r");
  char* line = NULL;
  size_t size = 0;
  while (file != NULL && getline(&line, &size, file) > 0) {
    if (line[0] == '#') continue;
    line[strcspn(line, "\n")] = '\0';
    char *name = strtok(line, "\t"), *method = strtok(NULL, "\t"),
         *params = expanded(strtok(NULL, "\t"));
    char* result = NULL;
    int status = flodea_call(method, params, &result);
    if (status == 0) {
      printf("case \"%s\" result %s\n", name, result);
    } else {
      printf("case \"%s\" error %s\n", name, status_name(status));
    }
    free(result);
    free(params);
  }
  return file == NULL;
}

static int late(void) {
  flodea_time now;
  char request[256], reply[512];
  if (flodea_now(&now) != 0) return 1;
  int length = snprintf(request, sizeof request,
                        "{\"method\":\"flodea.kernel.v1.Clock/"
                        "SleepUntil\",\"params\":{\"wallNanos\":\"%lld\"},\"deadline_ms\":200}",
                        (long long)(now.wall_nanos + 3600 * 1000000000LL));
  int32_t got = flodea_import_call(request, (uint32_t)length, reply, sizeof reply - 1);
  if (got < 0 || got >= (int32_t)sizeof reply) return 1;
  reply[got] = '\0';
  const char* code = strstr(reply, "\"code\":-320");
  printf("late %s\n", code != NULL ? status_name(atoi(code + strlen("\"code\":-320"))) : reply);
  return 0;
}

// --- ends and stops

static int end(void) { return atoi(word[0]); }

static int throw(void) { __builtin_trap(); }

static int stop(void) {
  static const char kWatch[] = "{\"method\":\"flodea.agent.v1.Self/WatchStop\"}";
  char message[256];
  int32_t stream = flodea_import_open(kWatch, sizeof kWatch - 1);
  puts("waiting");
  int32_t got = flodea_import_next(stream, message, sizeof message - 1, -1);
  if (got <= 0) return 1;
  message[got] = '\0';
  char* reason = strstr(message, "\"reason\":\"");
  if (reason == NULL) return 1;
  reason += strlen("\"reason\":\"");
  printf("asked %.*s\n", (int)strcspn(reason, "\""), reason);
  return 0;
}

static int idle(void) {
  puts("waiting");
  for (;;) sleep(3600);
}

static int busy(void) {
  puts("waiting");
  for (volatile unsigned turn = 0;; ++turn) {
  }
}

static int deaf(void) {
  if (flodea_stop_requested() != 0) return 1;
  return busy();
}

static int ready(void) {
  puts("about to be ready");
  if (flodea_ready() != 0) return 1;
  return idle();
}

static int again(void) {
  if (access("/data/ran", F_OK) == 0) return puts("second run") < 0;
  fclose(fopen("/data/ran", "w"));
  return 3;
}

// --- log and surroundings

static void put(int stream, const char* bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(stream, bytes, length);
    if (n <= 0) exit(1);
    bytes += n;
    length -= (size_t)n;
  }
}
#define PUT(stream, text) put(stream, text, sizeof(text) - 1)

static int log_lines(void) {
  static char xs[20000];
  memset(xs, 'x', sizeof xs);
  PUT(1, "a line\n");
  PUT(2, "a line of stderr\n");
  PUT(1, "\n");
  PUT(1, "tab\tand \xc3\xbcml\xc3\xa4ut\n");
  PUT(1, "bad \xff\xfe bytes\n");
  PUT(1, "nul \0 byte\n");
  put(1, xs, sizeof xs);
  PUT(1, "\n");
  PUT(1, "in two ");
  PUT(1, "writes\n");
  PUT(1, "no newline");
  return 0;
}

static void say_text(const char* name, const char* text) {
  if (text == NULL) {
    printf("%s null\n", name);
  } else {
    printf("%s \"%s\"\n", name, text);
  }
}

static int written(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CREAT, 0644);
  return fd < 0 ? -1 : (int)write(fd, text, strlen(text));
}

static int surroundings(void) {
  static const char* const kNames[] = {"LOG",    "EMPTY", "ABSENT", "HOME",
                                       "TMPDIR", "LANG",  "PATH",   "FLODEA_AGENT"};
  char path[256], line[128] = "";
  printf("arguments [");
  for (int i = 0; i < words; ++i) printf("%s\"%s\"", i > 0 ? "," : "", word[i]);
  printf("]\n");
  for (size_t i = 0; i < sizeof kNames / sizeof *kNames; ++i)
    say_text(kNames[i], getenv(kNames[i]));
  say_text("working_directory", getcwd(path, sizeof path));
  FILE* file = fopen("cases.tsv", "r");
  if (file != NULL && fgets(line, sizeof line, file) != NULL) line[strcspn(line, ",")] = '\0';
  say_text("a_file_of_its_bundle", file != NULL ? line : NULL);
  say_text("user", NULL);
  int kept = written("/data/kept", "1"), scratch = written("/tmp/scratch", "22");
  printf("writes_to_data_and_tmp [%d,%d]\n", kept, scratch);
  return 0;
}

// --- limits

// As a program does that cannot go on without memory.
static int take(size_t piece) {
  static void* volatile kept;  // or the compiler leaves malloc out
  while ((kept = malloc(piece)) != NULL) memset(kept, 'x', piece);
  abort();
}
static int objects(void) { return take(64); }
static int buffers(void) { return take(1 << 20); }

static int pids(void) { return puts("refused has no means") < 0; }

static int disk(void) {
  static char piece[65536];
  long total = 0;
  int fd = open("/data/fill", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (ssize_t n = 0; fd >= 0 && total < (1 << 30) && (n = write(fd, piece, sizeof piece)) > 0;)
    total += n;
  printf("refused %s %s\n", errno_name(), total < (15 << 20) ? "below its size" : "at its size");
  return 0;
}

static int files(void) {
  int last = 0;
  for (int fd = 0; fd >= 0 && last < 10000; last = fd >= 0 ? fd : last)
    fd = open("/app/cases.tsv", O_RDONLY);
  printf("refused %s at descriptor %d\n", errno_name(), last + 1);
  return 0;
}

static long long cpu_nanos(void) {
  char* usage = NULL;
  if (flodea_call("flodea.agent.v1.Self/Usage", NULL, &usage) != 0) exit(1);
  char* at = strstr(usage, "\"cpuNanos\":\"");
  long long nanos = at != NULL ? atoll(at + strlen("\"cpuNanos\":\"")) : 0;
  free(usage);
  return nanos;
}

static long long monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int cpu(void) {
  long long used = cpu_nanos(), began = monotonic();
  while (monotonic() - began < 2000000000LL) {
  }
  used = cpu_nanos() - used;
  printf("share %f\n", (double)used / (double)(monotonic() - began));
  return 0;
}

// --- what it may not

static void attempt(const char* name, int result) {
  printf("attempt \"%s\" %s\n", name, result >= 0 ? "SUCCEEDED" : errno_name());
}

static int listed(const char* path) {
  DIR* dir = opendir(path);
  return dir != NULL ? closedir(dir) : -1;
}

static int denials(void) {
  attempt("write into its bundle", open("/app/made", O_WRONLY | O_CREAT, 0644));
  attempt("change its own code", open("/app/main.wasm", O_WRONLY | O_APPEND));
  puts("attempt \"make its bundle its own\" has no means");
  attempt("write into the host's programs", open("/usr/bin/made", O_WRONLY | O_CREAT, 0644));
  attempt("write into the SDK", open("/opt/flodea/made", O_WRONLY | O_CREAT, 0644));
  attempt("read the passwords", open("/etc/shadow", O_RDONLY));
  attempt("read the node's keys", listed("/var/lib/flodea"));
  attempt("read the worker's environment", open("/proc/1/environ", O_RDONLY));
  attempt("read kernel memory", open("/proc/kcore", O_RDONLY));
  attempt("write a kernel setting", open("/proc/sys/kernel/core_pattern", O_WRONLY));
  puts("attempt \"kill the worker\" has no means");
  puts("attempt \"reach an address outside\" has no means");
  puts("attempt \"make a raw socket\" has no means");
  return 0;
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    int (*run)(void);
  } kModes[] = {{"cases", cases},
                {"late", late},
                {"exit", end},
                {"abort", NULL},
                {"throw", throw},
                {"stop", stop},
                {"idle", idle},
                {"busy", busy},
                {"deaf", deaf},
                {"ready", ready},
                {"again", again},
                {"log", log_lines},
                {"surroundings", surroundings},
                {"objects", objects},
                {"buffers", buffers},
                {"pids", pids},
                {"disk", disk},
                {"files", files},
                {"cpu", cpu},
                {"denials", denials}};
  if (argc < 2) return 2;
  words = argc - 2;
  word = argv + 2;
  setvbuf(stdout, NULL, _IOLBF, 4096);  // a line printed is a line logged
  for (size_t i = 0; i < sizeof kModes / sizeof *kModes; ++i) {
    if (strcmp(kModes[i].name, argv[1]) != 0) continue;
    if (kModes[i].run == NULL) abort();
    return kModes[i].run();
  }
  return 2;
}
