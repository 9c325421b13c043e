// What WASI preview 1 promises, function by function, in a directory given as the first argument;
// written from https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md. A line for each.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#define ROOT 3  // the preopened "/"
#define WANT(condition) \
  if (!(condition)) return #condition

static char dir[256];  // below ROOT, without the leading slash
static __wasi_fd_t file;

static const char *at(const char *name) {
  static char path[2][512];
  static int turn;
  turn = !turn;
  snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
  return path[turn];
}

static __wasi_errno_t open_at(const char *path, __wasi_oflags_t flags, __wasi_fd_t *fd) {
  __wasi_rights_t rights = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK |
                           __WASI_RIGHTS_FD_TELL | __WASI_RIGHTS_FD_READDIR;
  if (flags & __WASI_OFLAGS_DIRECTORY) rights = __WASI_RIGHTS_FD_READDIR | __WASI_RIGHTS_PATH_OPEN;
  return __wasi_path_open(ROOT, 0, path, flags, rights, rights, 0, fd);
}

static __wasi_errno_t write_text(__wasi_fd_t fd, const char *text, __wasi_size_t *n) {
  __wasi_ciovec_t part = {(const uint8_t *)text, strlen(text)};
  return __wasi_fd_write(fd, &part, 1, n);
}

static const char *args(void) {
  __wasi_size_t count, size;
  WANT(__wasi_args_sizes_get(&count, &size) == 0);
  WANT(count == 3);
  uint8_t *argv[3], text[512];
  WANT(size <= sizeof text && __wasi_args_get(argv, text) == 0);
  WANT(strcmp((char *)argv[2], "h\xc3\xa9 llo") == 0);
  return NULL;
}

static const char *environment(void) {
  __wasi_size_t count, size;
  WANT(__wasi_environ_sizes_get(&count, &size) == 0 && count == 1);
  WANT(strcmp(getenv("WASI_TEST"), "a=b") == 0);
  WANT(getenv("FLODEA_FD") == NULL);
  return NULL;
}

static const char *clocks(void) {
  __wasi_timestamp_t resolution, first, second;
  for (__wasi_clockid_t id = __WASI_CLOCKID_REALTIME; id <= __WASI_CLOCKID_MONOTONIC; ++id) {
    WANT(__wasi_clock_res_get(id, &resolution) == 0 && resolution > 0);
    WANT(__wasi_clock_time_get(id, 1, &first) == 0 && __wasi_clock_time_get(id, 1, &second) == 0);
  }
  WANT(second >= first);
  return NULL;
}

static const char *random_bytes(void) {
  uint8_t a[64] = {0}, b[64] = {0};
  WANT(__wasi_random_get(a, sizeof a) == 0 && __wasi_random_get(b, sizeof b) == 0);
  WANT(memcmp(a, b, sizeof a) != 0);
  return NULL;
}

static const char *prestat(void) {
  __wasi_prestat_t stat;
  uint8_t name[2] = {0};
  WANT(__wasi_fd_prestat_get(ROOT, &stat) == 0 && stat.u.dir.pr_name_len == 1);
  WANT(__wasi_fd_prestat_dir_name(ROOT, name, 1) == 0 && name[0] == '/');
  WANT(__wasi_fd_prestat_get(ROOT + 1, &stat) == __WASI_ERRNO_BADF);
  return NULL;
}

static const char *files(void) {
  __wasi_size_t n;
  __wasi_filesize_t place;
  uint8_t text[32] = {0};
  __wasi_iovec_t part = {text, sizeof text - 1};
  WANT(open_at(at("file"), __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, &file) == 0);
  WANT(open_at(at("file"), __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, &file) == __WASI_ERRNO_EXIST);
  WANT(write_text(file, "hello world", &n) == 0 && n == 11);
  WANT(__wasi_fd_seek(file, 6, __WASI_WHENCE_SET, &place) == 0 && place == 6);
  WANT(__wasi_fd_read(file, &part, 1, &n) == 0 && n == 5 && memcmp(text, "world", 5) == 0);
  WANT(__wasi_fd_tell(file, &place) == 0 && place == 11);
  WANT(__wasi_fd_read(file, &part, 1, &n) == 0 && n == 0);
  return NULL;
}

static const char *positioned(void) {
  __wasi_size_t n;
  uint8_t text[8] = {0};
  __wasi_iovec_t in = {text, 5};
  __wasi_ciovec_t out = {(const uint8_t *)"W", 1};
  WANT(__wasi_fd_pwrite(file, &out, 1, 6, &n) == 0 && n == 1);
  WANT(__wasi_fd_pread(file, &in, 1, 6, &n) == 0 && n == 5 && memcmp(text, "World", 5) == 0);
  return NULL;
}

static const char *file_facts(void) {
  __wasi_filestat_t stat;
  __wasi_fdstat_t fd;
  WANT(__wasi_fd_filestat_get(file, &stat) == 0 && stat.size == 11);
  WANT(stat.filetype == __WASI_FILETYPE_REGULAR_FILE && stat.nlink == 1);
  WANT(__wasi_fd_fdstat_get(file, &fd) == 0 && fd.fs_filetype == __WASI_FILETYPE_REGULAR_FILE);
  WANT(__wasi_fd_fdstat_get(ROOT, &fd) == 0 && fd.fs_filetype == __WASI_FILETYPE_DIRECTORY);
  WANT(__wasi_path_filestat_get(ROOT, 0, at("none"), &stat) == __WASI_ERRNO_NOENT);
  return NULL;
}

static const char *sizes(void) {
  __wasi_filestat_t stat;
  WANT(__wasi_fd_filestat_set_size(file, 4) == 0);
  WANT(__wasi_fd_filestat_get(file, &stat) == 0 && stat.size == 4);
  WANT(__wasi_fd_advise(file, 0, 4, __WASI_ADVICE_NORMAL) == 0);
  WANT(__wasi_fd_sync(file) == 0 && __wasi_fd_datasync(file) == 0);
  return NULL;
}

static const char *allocate(void) {
  return __wasi_fd_allocate(file, 0, 8) == __WASI_ERRNO_NOTSUP ? NULL : "fd_allocate is NOTSUP";
}

static const char *times(void) {
  __wasi_filestat_t stat;
  __wasi_fstflags_t both = __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM;
  WANT(__wasi_fd_filestat_set_times(file, 1000000000, 2000000000, both) == 0);
  WANT(__wasi_fd_filestat_get(file, &stat) == 0 && stat.mtim == 2000000000);
  WANT(__wasi_path_filestat_set_times(ROOT, 0, at("file"), 1, 3000000000, both) == 0);
  WANT(__wasi_path_filestat_get(ROOT, 0, at("file"), &stat) == 0 && stat.mtim == 3000000000);
  return NULL;
}

static const char *append(void) {
  __wasi_fd_t fd;
  __wasi_filestat_t stat;
  __wasi_size_t n;
  __wasi_rights_t rights = __WASI_RIGHTS_FD_WRITE;
  WANT(__wasi_path_open(ROOT, 0, at("file"), 0, rights, 0, __WASI_FDFLAGS_APPEND, &fd) == 0);
  WANT(write_text(fd, "end", &n) == 0 && n == 3);
  WANT(__wasi_fd_filestat_get(fd, &stat) == 0 && stat.size == 7);
  WANT(__wasi_fd_fdstat_set_flags(fd, 0) == 0);
  WANT(__wasi_fd_close(fd) == 0 && __wasi_fd_close(fd) == __WASI_ERRNO_BADF);
  return NULL;
}

static const char *renumber(void) {
  __wasi_fd_t a, b;
  __wasi_size_t n;
  WANT(open_at(at("a"), __WASI_OFLAGS_CREAT, &a) == 0);
  WANT(open_at(at("b"), __WASI_OFLAGS_CREAT, &b) == 0);
  WANT(__wasi_fd_renumber(a, b) == 0);
  WANT(write_text(a, "x", &n) == __WASI_ERRNO_BADF);
  WANT(write_text(b, "x", &n) == 0 && __wasi_fd_close(b) == 0);
  return NULL;
}

static const char *directories(void) {
  __wasi_fd_t fd;
  __wasi_size_t used;
  uint8_t entries[4096];
  WANT(__wasi_path_create_directory(ROOT, at("sub")) == 0);
  WANT(__wasi_path_create_directory(ROOT, at("sub")) == __WASI_ERRNO_EXIST);
  WANT(open_at(at("sub/inner"), __WASI_OFLAGS_CREAT, &fd) == 0 && __wasi_fd_close(fd) == 0);
  WANT(__wasi_path_remove_directory(ROOT, at("sub")) == __WASI_ERRNO_NOTEMPTY);
  WANT(open_at(at("sub"), __WASI_OFLAGS_DIRECTORY, &fd) == 0);
  WANT(__wasi_fd_readdir(fd, entries, sizeof entries, __WASI_DIRCOOKIE_START, &used) == 0);
  int found = 0;
  for (__wasi_size_t place = 0; place + sizeof(__wasi_dirent_t) <= used;) {
    __wasi_dirent_t entry;
    memcpy(&entry, entries + place, sizeof entry);
    found |= entry.d_namlen == 5 && memcmp(entries + place + sizeof entry, "inner", 5) == 0;
    place += sizeof entry + entry.d_namlen;
  }
  WANT(found && __wasi_fd_close(fd) == 0);
  WANT(__wasi_path_unlink_file(ROOT, at("sub/inner")) == 0);
  WANT(__wasi_path_remove_directory(ROOT, at("sub")) == 0);
  WANT(open_at(at("file"), __WASI_OFLAGS_DIRECTORY, &fd) == __WASI_ERRNO_NOTDIR);
  return NULL;
}

static const char *links(void) {
  uint8_t target[64] = {0};
  __wasi_size_t n;
  __wasi_filestat_t stat;
  WANT(__wasi_path_symlink("file", ROOT, at("soft")) == 0);
  WANT(__wasi_path_readlink(ROOT, at("soft"), target, sizeof target, &n) == 0);
  WANT(n == 4 && memcmp(target, "file", 4) == 0);
  WANT(__wasi_path_filestat_get(ROOT, 0, at("soft"), &stat) == 0);
  WANT(stat.filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
  WANT(__wasi_path_filestat_get(ROOT, 1, at("soft"), &stat) == 0 && stat.size == 7);
  WANT(__wasi_path_link(ROOT, 0, at("file"), ROOT, at("hard")) == 0);
  WANT(__wasi_path_filestat_get(ROOT, 0, at("hard"), &stat) == 0 && stat.nlink == 2);
  return NULL;
}

static const char *renames(void) {
  __wasi_filestat_t stat;
  WANT(__wasi_path_rename(ROOT, at("hard"), ROOT, at("moved")) == 0);
  WANT(__wasi_path_filestat_get(ROOT, 0, at("hard"), &stat) == __WASI_ERRNO_NOENT);
  WANT(__wasi_path_unlink_file(ROOT, at("moved")) == 0);
  WANT(__wasi_path_unlink_file(ROOT, at("moved")) == __WASI_ERRNO_NOENT);
  return NULL;
}

static const char *polling(void) {
  __wasi_subscription_t wait = {.userdata = 7};
  __wasi_event_t event;
  __wasi_size_t n;
  wait.u.tag = __WASI_EVENTTYPE_CLOCK;
  wait.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
  wait.u.u.clock.timeout = 20 * 1000 * 1000;
  __wasi_timestamp_t before, after;
  WANT(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before) == 0);
  WANT(__wasi_poll_oneoff(&wait, &event, 1, &n) == 0 && n == 1 && event.userdata == 7);
  WANT(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &after) == 0);
  WANT(after - before >= 20 * 1000 * 1000);
  return NULL;
}

static const char *standard_streams(void) {
  uint8_t text[8];
  __wasi_iovec_t part = {text, sizeof text};
  __wasi_size_t n;
  WANT(__wasi_fd_read(0, &part, 1, &n) == 0 && n == 3 && memcmp(text, "in\n", 3) == 0);
  WANT(write_text(2, "to stderr\n", &n) == 0 && n == 10);
  return NULL;
}

static const char *yield(void) { return __wasi_sched_yield() == 0 ? NULL : "sched_yield"; }

static const char *no_sockets(void) {
  __wasi_size_t n;
  __wasi_ciovec_t part = {(const uint8_t *)"x", 1};
  WANT(__wasi_sock_send(1, &part, 1, 0, &n) != 0);
  WANT(__wasi_sock_shutdown(1, __WASI_SDFLAGS_RD) != 0);
  return NULL;
}

static const char *bad_descriptors(void) {
  __wasi_size_t n;
  WANT(write_text(77, "x", &n) == __WASI_ERRNO_BADF);
  WANT(__wasi_fd_close(77) == __WASI_ERRNO_BADF);
  WANT(write_text(ROOT, "x", &n) != 0);
  return NULL;
}

static const struct {
  const char *name;
  const char *(*run)(void);
} kChecks[] = {
    {"args_get, args_sizes_get", args},
    {"environ_get, environ_sizes_get", environment},
    {"clock_time_get, clock_res_get", clocks},
    {"random_get", random_bytes},
    {"fd_prestat_get, fd_prestat_dir_name", prestat},
    {"path_open, fd_read, fd_write, fd_seek, fd_tell", files},
    {"fd_pread, fd_pwrite", positioned},
    {"fd_filestat_get, path_filestat_get, fd_fdstat_get", file_facts},
    {"fd_filestat_set_size, fd_advise, fd_sync, fd_datasync", sizes},
    {"fd_allocate", allocate},
    {"fd_filestat_set_times, path_filestat_set_times", times},
    {"fd_fdstat_set_flags, append, fd_close", append},
    {"fd_renumber", renumber},
    {"path_create_directory, fd_readdir, path_remove_directory", directories},
    {"path_symlink, path_readlink, path_link", links},
    {"path_rename, path_unlink_file", renames},
    {"poll_oneoff", polling},
    {"standard input, output and error", standard_streams},
    {"sched_yield", yield},
    {"sock_send, sock_shutdown", no_sockets},
    {"descriptors that are not there", bad_descriptors},
};

int main(int argc, char **argv) {
  int bad = 0;
  if (argc < 2) return 2;
  snprintf(dir, sizeof dir, "%s", argv[1] + 1);
  for (size_t i = 0; i < sizeof kChecks / sizeof *kChecks; ++i) {
    const char *problem = kChecks[i].run();
    bad |= problem != NULL;
    printf("%s: %s\n", kChecks[i].name, problem == NULL ? "ok" : problem);
  }
  return bad;
}
