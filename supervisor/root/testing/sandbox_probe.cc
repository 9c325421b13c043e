// Stands where the worker stands, and tries what it is told to: one command a datagram on the
// attach socket, one answer each. A command with "agent " before it runs in a child that has become
// the agent's uid, as the worker's child does. Answers are "<return value> <errno>" or a text.
// Static, as the worker is.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "base/fd_layout.h"
#include "base/unique_fd.h"

namespace {

using flodea::UniqueFd;
constexpr int kAttach = flodea::fd_layout::worker::kAttach;
using Words = std::vector<std::string>;

std::string outcome(long value) {
  return std::to_string(value) + " " + std::to_string(value < 0 ? errno : 0);
}

std::string do_read(const Words& w) {
  UniqueFd fd(::open(w[1].c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return outcome(-1);
  std::string text(32768, '\0');
  ssize_t n = ::read(fd.get(), text.data(), text.size());
  if (n < 0) return outcome(n);
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string do_write(const Words& w) {
  UniqueFd fd(::open(w[1].c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return outcome(-1);
  return outcome(::write(fd.get(), w[2].data(), w[2].size()));
}

// A compromised worker's: another directory where flodead looks for one of its descriptors.
std::string do_replace(const Words& w) {
  UniqueFd fd(::open(w[2].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return outcome(-1);
  return outcome(::dup2(fd.get(), std::stoi(w[1])));
}

std::string do_list(const Words& w) {
  DIR* dir = ::opendir(w[1].c_str());
  if (dir == nullptr) return outcome(-1);
  std::string names;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') names += std::string(entry->d_name) + " ";
  }
  ::closedir(dir);
  return names;
}

std::string do_connect(const Words&) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(53);
  to.sin_addr.s_addr = htonl(0x01010101);
  return outcome(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to));
}

std::string do_loopback(const Words&) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return outcome(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to));
}

std::string do_link_down(const Words&) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
  return outcome(fd ? ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, "\0\0\1", 4)
                    : -1);  // needs CAP_NET_ADMIN over the netns
}

std::string do_mknod(const Words&) {
  return outcome(::mknod("/tmp/sda", S_IFBLK | 0600, makedev(8, 0)));
}
std::string do_mount(const Words&) {
  return outcome(::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr));
}
std::string do_unshare(const Words&) { return outcome(::unshare(CLONE_NEWNS)); }
std::string do_setuid0(const Words&) { return outcome(::setuid(0)); }
std::string do_kill1(const Words&) { return outcome(::kill(1, SIGKILL)); }
std::string do_uid(const Words&) {
  return std::to_string(::getuid()) + " " + std::to_string(::getgid());
}

std::string do_stat(const Words& w) {
  struct stat info;
  if (::lstat(w[1].c_str(), &info) != 0) return outcome(-1);
  char text[64];
  std::snprintf(text, sizeof text, "%u:%u %o", info.st_uid, info.st_gid, info.st_mode & 07777);
  return text;
}

// Touches megabytes until it has `w[1]` of them, or is killed.
std::string do_eat(const Words& w) {
  long megabytes = std::atol(w[1].c_str());
  for (long i = 0; i < megabytes; ++i) std::memset(std::malloc(1 << 20), 1, 1 << 20);
  return "ate";
}

std::string do_forks(const Words& w) {
  long wanted = std::atol(w[1].c_str());
  long made = 0;
  int error = 0;
  std::vector<pid_t> children;
  for (; made < wanted; ++made) {
    pid_t pid = ::fork();
    if (pid == 0) {
      ::pause();
      ::_exit(0);
    }
    if (pid < 0) {
      error = errno;
      break;
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  return std::to_string(made) + " " + std::to_string(error);
}

std::string do_exit(const Words& w) { ::_exit(std::atoi(w[1].c_str())); }

struct Command {
  const char* name;
  std::size_t words;
  std::string (*run)(const Words&);
};
constexpr Command kCommands[] = {
    {"read", 2, do_read},
    {"write", 3, do_write},
    {"list", 2, do_list},
    {"connect", 1, do_connect},
    {"replace", 3, do_replace},
    {"mknod", 1, do_mknod},
    {"mount", 1, do_mount},
    {"unshare", 1, do_unshare},
    {"setuid0", 1, do_setuid0},
    {"kill1", 1, do_kill1},
    {"uid", 1, do_uid},
    {"stat", 2, do_stat},
    {"eat", 2, do_eat},
    {"forks", 2, do_forks},
    {"exit", 2, do_exit},
    {"loopback", 1, do_loopback},
    {"link-down", 1, do_link_down},
};

std::string run(const Words& words);

std::string as_agent(const Words& words) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return outcome(-1);
  UniqueFd reader(pipe_ends[0]);
  UniqueFd writer(pipe_ends[1]);
  pid_t pid = ::fork();
  if (pid == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(1000, 1000, 1000) != 0 ||
        ::setresuid(1000, 1000, 1000) != 0)
      ::_exit(3);
    std::string answer = run(words);
    ::_exit(::write(writer.get(), answer.data(), answer.size()) < 0);
  }
  writer.reset();
  std::string answer(32768, '\0');
  ssize_t n = ::read(reader.get(), answer.data(), answer.size());
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (n <= 0)
    return WIFSIGNALED(status) ? "killed " + std::to_string(WTERMSIG(status))
                               : "no answer " + std::to_string(WEXITSTATUS(status));
  answer.resize(static_cast<std::size_t>(n));
  return answer;
}

std::string run(const Words& words) {
  if (!words.empty() && words[0] == "agent") return as_agent(Words(words.begin() + 1, words.end()));
  for (const Command& command : kCommands) {
    if (!words.empty() && words[0] == command.name && words.size() == command.words)
      return command.run(words);
  }
  return "unknown command";
}

}  // namespace

int main() {
  std::string buffer(4096, '\0');
  for (;;) {
    ssize_t n = ::recv(kAttach, buffer.data(), buffer.size(), 0);
    if (n <= 0) return 0;
    std::istringstream stream(buffer.substr(0, static_cast<std::size_t>(n)));
    Words words;
    for (std::string word; stream >> word;) words.push_back(word);
    std::string answer = run(words);
    if (answer.empty()) answer = "-";
    if (::send(kAttach, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return 1;
  }
}
