// Stands where a job's program stands and tries one thing, named by its arguments; says how it went
// on standard output. Static, as those programs are.
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

int say(long outcome) {
  std::printf("%s", outcome >= 0 ? "done" : std::strerror(errno));
  return 0;
}

int list(const char* directory) {
  DIR* entries = ::opendir(directory);
  if (entries == nullptr) return say(-1);
  while (const dirent* entry = ::readdir(entries)) std::printf("%s ", entry->d_name);
  ::closedir(entries);
  return 0;
}

int read_file(const char* path) {
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return say(-1);
  char bytes[256];
  ssize_t n = ::read(fd, bytes, sizeof bytes);
  std::fwrite(bytes, 1, n > 0 ? static_cast<std::size_t>(n) : 0, stdout);
  return 0;
}

int status_line(const char* field) {
  // No /proc in a job: capget and getuid have to do.
  if (std::strcmp(field, "uid") == 0) std::printf("%u %u", ::getuid(), ::getgid());
  return 0;
}

int connect_to(const char* port) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return say(-1);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return say(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to));
}

int take_memory(const char* mib) {
  for (int i = 0; i < std::atoi(mib); ++i) {
    auto* page = static_cast<char*>(std::malloc(1 << 20));
    if (page == nullptr) return 3;
    std::memset(page, i + 1, 1 << 20);
  }
  return say(0);
}

int fill(const char* kib) {
  std::vector<char> block(1024, 'x');
  for (int i = 0; i < std::atoi(kib); ++i) {
    if (::write(STDOUT_FILENO, block.data(), block.size()) < 0) return errno;
  }
  return 0;
}

int echo() {
  char bytes[4096];
  for (ssize_t n; (n = ::read(STDIN_FILENO, bytes, sizeof bytes)) > 0;) {
    if (::write(STDOUT_FILENO, bytes, static_cast<std::size_t>(n)) != n) return 1;
  }
  std::fprintf(stderr, "a message");
  return 7;
}

}  // namespace

int main(int argc, char** argv) {
  std::string what = argc > 1 ? argv[1] : "";
  const char* with = argc > 2 ? argv[2] : "";
  if (what == "list") return list(with);
  if (what == "read") return read_file(with);
  if (what == "write") return say(::open(with, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (what == "status") return status_line(with);
  if (what == "connect") return connect_to(with);
  if (what == "mount") return say(::mount("tmpfs", "/bundle", "tmpfs", 0, ""));
  if (what == "setuid") return say(::setuid(0));
  if (what == "exec") return ::execl(with, with, "status", "uid", nullptr), say(-1);
  if (what == "memory") return take_memory(with);
  if (what == "fill") return fill(with);
  if (what == "echo") return echo();
  if (what == "forever") {
    for (;;) ::pause();
  }
  return 64;
}
