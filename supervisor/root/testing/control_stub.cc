// Stands where flodea-control stands, and gives what it was given to a test: it connects to
// <run-dir>.sock, sends its descriptors there, and ends with the status that the first byte from
// there says (or when that socket closes).
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/fd_layout.h"
#include "base/fd_message.h"

int main(int argc, char** argv) {
  using namespace flodea;
  std::string arguments;
  std::string path;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--check") return 0;
    arguments += std::string(argv[i]) + " ";
    if (std::string(argv[i - 1]) == "--run-dir") path = std::string(argv[i]) + ".sock";
  }
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return 1;
  int fds[] = {fd_layout::control::kRoot, fd_layout::control::kVault,
               fd_layout::control::kOperators, fd_layout::control::kStateDir};
  if (!send_fd_message(socket.get(), arguments, fds)) return 1;
  char status = 0;
  ssize_t n = ::recv(socket.get(), &status, 1, 0);
  return n == 1 ? status : 1;
}
