// Tries every way out of the sandbox that WASI offers a module, and prints what came of each.
//
// First run: every attempt but the last, then memory without end, which ends it with reason `oom`. Its store remembers that, so the
// restarted intruder reports the count. With the argument `outside` it runs where nothing holds it, and says what it got there.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <flodea.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE "intruder/state"

enum { kMemory = 16 << 20, kDisk = 16 << 20, kOpenFiles = 64, kLogRate = 256 << 10, kBlock = 1 << 16 };

typedef struct {
  const char *name;
  int (*run)(void);  // above 0: it got what it may not; else it was held, and errno says by what
  int outside;       // there is something to get without a sandbox, too
} attempt;

static int opens(const char *path, int flags) {
  int fd = open(path, flags, 0600);
  if (fd < 0) return 0;
  close(fd);
  return 1;
}

static int reads(const char *path) {
  char text[16];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text);
  close(fd);
  return n > 0;
}

static int lists(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) return 0;
  int found = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) found += entry->d_name[0] != '.';
  closedir(dir);
  return found;
}

static int read_secrets(void) { return reads("/etc/shadow"); }
static int list_root(void) { return lists("/root"); }
static int list_state(void) { return lists("/var/lib/flodea"); }
static int list_sys(void) { return lists("/sys"); }
static int add_to_bundle(void) { return opens("/app/added", O_WRONLY | O_CREAT); }
static int change_bundle(void) { return opens("/app/flodea.yaml", O_WRONLY); }
static int change_code(void) { return opens("/app/.flodea/module.cwasm", O_RDWR); }
static int rename_code(void) {
  return rename("/app/.flodea/module.cwasm", "/app/.flodea/other.cwasm") == 0 &&
         rename("/app/.flodea/other.cwasm", "/app/.flodea/module.cwasm") == 0;
}
static int add_code(void) { return opens("/app/.flodea/added", O_WRONLY | O_CREAT); }
static int add_engine(void) { return opens("/opt/flodea/bin/added", O_WRONLY | O_CREAT); }
static int add_program(void) { return opens("/usr/bin/added", O_WRONLY | O_CREAT); }
static int change_users(void) { return opens("/etc/passwd", O_WRONLY); }
static int age_bundle(void) {
  struct timespec times[2] = {{1, 0}, {1, 0}};
  return utimensat(AT_FDCWD, "/app/flodea.yaml", times, 0) == 0;
}
static int make_directory(void) { return mkdir("/app/made", 0700) == 0; }
static int link_secrets(void) { return link("/etc/shadow", "/data/linked") == 0; }
static int follow_link(void) {
  unlink("/data/lead");
  return symlink("../etc/shadow", "/data/lead") == 0 && reads("/data/lead");
}
static int read_first_process(void) { return reads("/proc/1/environ"); }
static int read_own_memory(void) { return opens("/proc/self/mem", O_RDWR); }
static int change_settings(void) { return opens("/proc/sys/kernel/hostname", O_WRONLY); }

static int see_processes(void) {
  DIR *dir = opendir("/proc");
  if (dir == NULL) return 0;
  int processes = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
    processes += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
  closedir(dir);
  errno = EACCES;
  return processes > 1;
}

static int call_operators(void) {
  char *result = NULL;
  int error = flodea_call("flodea.operators.v1.Operators/List", "{}", &result);
  free(result);
  errno = EPERM;
  return error == 0;
}

static int use_up_descriptors(void) {
  int held[kOpenFiles + 1], count = 0;
  while (count <= kOpenFiles && (held[count] = open("/dev/null", O_RDONLY)) >= 0) ++count;
  int error = errno;
  for (int i = 0; i < count; ++i) close(held[i]);
  errno = error;
  return count > kOpenFiles;
}

static int fill_disk(void) {
  static char block[kBlock];
  int fd = open("/data/filler", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return 0;
  long written = 0;
  ssize_t n = 0;
  memset(block, 'x', sizeof block);
  while (written <= 2 * kDisk && (n = write(fd, block, sizeof block)) > 0) written += n;
  int error = errno;
  close(fd);
  unlink("/data/filler");
  errno = error;
  return written > 2 * kDisk;
}

static int flood_log(void) {
  char line[121];
  struct timespec begin, end;
  long total = 8L * kLogRate;
  memset(line, 'f', sizeof line);
  line[sizeof line - 1] = '\n';
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (long sent = 0; sent < total; sent += (long)sizeof line)
    if (write(2, line, sizeof line) < 0) return 0;
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  // Two seconds' worth may pass at once and the pipes hold some; the rest takes the time that its rate says.
  errno = EAGAIN;
  return seconds < 0.5 * ((double)total / kLogRate - 2);
}

static const attempt kAttempts[] = {
    {"read other users' secrets", read_secrets, 1},
    {"read them through a link", follow_link, 1},
    {"link them into its home", link_secrets, 1},
    {"list root's home", list_root, 1},
    {"list Flodea's state", list_state, 1},
    {"list /sys", list_sys, 1},
    {"add to its bundle", add_to_bundle, 1},
    {"change its bundle", change_bundle, 1},
    {"date its bundle back", age_bundle, 1},
    {"make a directory in its bundle", make_directory, 1},
    {"change its machine code", change_code, 1},
    {"put other machine code in its place", rename_code, 1},
    {"add to its machine code", add_code, 1},
    {"add to what Flodea brings", add_engine, 1},
    {"add a program", add_program, 1},
    {"change the users", change_users, 1},
    {"see other processes", see_processes, 1},
    {"read the first process's environment", read_first_process, 1},
    {"write its host's memory", read_own_memory, 1},
    {"change the kernel's settings", change_settings, 1},
    {"call the operators' interface", call_operators, 0},
    {"use up descriptors", use_up_descriptors, 1},
    {"fill the disk", fill_disk, 1},
    {"flood the log", flood_log, 1},
};
enum { kCount = sizeof kAttempts / sizeof kAttempts[0] };

static int run_all(int outside, int *tried) {
  int succeeded = 0;
  *tried = 0;
  for (int i = 0; i < kCount; ++i) {
    const attempt *one = &kAttempts[i];
    if (outside && !one->outside) continue;
    errno = 0;
    int got = one->run() > 0;
    *tried += 1;
    succeeded += got;
    if (got)
      printf("SUCCEEDED %s\n", one->name);
    else
      printf("held     %s: %s\n", one->name, strerror(errno));
    fflush(stdout);
  }
  return succeeded;
}

static void take_memory(void) {
  for (long taken = 0; taken <= 4L * kMemory; taken += kBlock) {
    volatile char *block = malloc(kBlock);
    if (block == NULL) abort();
    for (int i = 0; i < kBlock; i += 4096) block[i] = 1;
  }
}

static int first_run(void) {
  char text[64];
  int tried = 0, succeeded = run_all(0, &tried);
  uint64_t version = 0;
  snprintf(text, sizeof text, "%d %d", tried, succeeded);
  if (flodea_put(STATE, strlen(STATE), text, strlen(text), NULL, &version) != 0) return 2;
  puts("memory: taking it until something stops it");
  fflush(stdout);
  take_memory();
  puts("SUCCEEDED memory: it was given four times what its manifest says");
  return 1;
}

int main(int argc, char **argv) {
  void *state = NULL;
  size_t length = 0;
  uint64_t version = 0;
  int tried = 0, succeeded = 0;
  if (argc > 1 && strcmp(argv[1], "outside") == 0) {
    succeeded = run_all(1, &tried);
    printf("%d not tried, %d attempts, %d succeeded\n", kCount - tried, tried, succeeded);
    return succeeded != tried;
  }
  int found = flodea_get(STATE, strlen(STATE), &state, &length, &version);
  if (found == FLODEA_NOT_FOUND) return first_run();
  if (found != 0 || sscanf(state, "%d %d", &tried, &succeeded) != 2) return 2;
  puts("held     memory: it was ended at its limit (reason oom)");
  printf("%d attempts, %d succeeded\n", tried + 1, succeeded);
  return succeeded != 0;
}
