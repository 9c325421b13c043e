// Tries to leave a directory that it has opened, and the preopened root. The first argument is the
// directory; beside it lies `secret`. A line for each attempt: refused, or what was reached.
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

#define ROOT 3

static __wasi_fd_t inside;

static void report(const char *attempt, __wasi_errno_t error) {
  if (error == 0)
    printf("%s: REACHED\n", attempt);
  else
    printf("%s: refused with %d\n", attempt, error);
}

static void open_from(const char *attempt, __wasi_fd_t dir, const char *path) {
  __wasi_fd_t fd;
  report(attempt, __wasi_path_open(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path, 0,
                                   __WASI_RIGHTS_FD_READ, 0, 0, &fd));
}

int main(int argc, char **argv) {
  __wasi_filestat_t stat;
  uint8_t text[64];
  __wasi_size_t n;
  if (argc < 2 || __wasi_path_open(ROOT, 0, argv[1] + 1, __WASI_OFLAGS_DIRECTORY,
                                   __WASI_RIGHTS_FD_READDIR, 0, 0, &inside) != 0)
    return 2;
  open_from("open ..", inside, "../secret");
  open_from("open a/../..", inside, "sub/../../secret");
  open_from("open an absolute path", inside, argv[2]);
  open_from("open a symlink to ..", inside, "relative");
  open_from("open an absolute symlink", inside, "absolute");
  open_from("open below a symlink to ..", inside, "up/secret");
  open_from("open .. of the root", ROOT, "../etc/passwd");
  open_from("open an absolute path of the root", ROOT, "/etc/passwd");
  open_from("open sub/..//../", inside, "sub/..//../secret");
  report("stat ..", __wasi_path_filestat_get(inside, 1, "../secret", &stat));
  report("stat an absolute symlink", __wasi_path_filestat_get(inside, 1, "absolute", &stat));
  report("read the link ../link", __wasi_path_readlink(inside, "../link", text, sizeof text, &n));
  report("create in ..", __wasi_path_create_directory(inside, "../made"));
  report("remove in ..", __wasi_path_remove_directory(inside, "../victim"));
  report("unlink in ..", __wasi_path_unlink_file(inside, "../secret"));
  report("rename from ..", __wasi_path_rename(inside, "../secret", inside, "taken"));
  report("rename to ..", __wasi_path_rename(inside, "own", inside, "../given"));
  report("link from ..", __wasi_path_link(inside, 0, "../secret", inside, "linked"));
  report("link to ..", __wasi_path_link(inside, 0, "own", inside, "../linked"));
  report("make an absolute symlink", __wasi_path_symlink("/etc/passwd", inside, "made"));
  report("make a symlink in ..", __wasi_path_symlink("x", inside, "../made"));
  report("set times in ..",
         __wasi_path_filestat_set_times(inside, 1, "../secret", 1, 1, __WASI_FSTFLAGS_MTIM));
  report("renumber the root away", __wasi_fd_renumber(ROOT, 1000));
  return 0;
}
