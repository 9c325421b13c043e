#include "base/safe_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

namespace flodea {

Result<UniqueFd> open_beneath(int dirfd, const std::string& relative, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<__u64>(flags) | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
  int fd;
  do {
    fd = static_cast<int>(::syscall(SYS_openat2, dirfd, relative.c_str(), &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  return adopt_fd(fd, "open " + relative);
}

Status make_dir(int dirfd, const std::string& name, mode_t mode) {
  if (::mkdirat(dirfd, name.c_str(), mode) != 0 && errno != EEXIST)
    return fail_errno("mkdir " + name);
  return {};
}

Result<std::string> read_all(int fd, std::size_t limit) {
  std::string data;
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read");
    if (n == 0) return data;
    if (data.size() + static_cast<std::size_t>(n) > limit)
      return fail(Code::kOutOfRange, "more than " + std::to_string(limit) + " bytes");
    data.append(buffer, static_cast<std::size_t>(n));
  }
}

Result<std::string> read_file(int dirfd, const std::string& relative, std::size_t limit) {
  auto fd = TRY(open_beneath(dirfd, relative, O_RDONLY));
  return read_all(fd.get(), limit);
}

Status write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status replace_file(int dirfd, const std::string& name, std::string_view data, mode_t mode) {
  std::string temporary = name + ".tmp";
  {
    auto fd = TRY(open_beneath(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    TRY(write_all(fd.get(), data));
    if (::fsync(fd.get()) != 0) return fail_errno("fsync " + temporary);
  }
  if (::renameat(dirfd, temporary.c_str(), dirfd, name.c_str()) != 0)
    return fail_errno("rename " + temporary);
  auto dir = TRY(open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY));
  if (::fsync(dir.get()) != 0) return fail_errno("fsync directory of " + name);
  return {};
}

}  // namespace flodea
