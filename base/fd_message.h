// Datagrams with descriptors over a SEQPACKET unix socket (unix(7), SCM_RIGHTS).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace flodea {

inline constexpr std::size_t kMaxFdMessageBytes = 64 * 1024;
inline constexpr std::size_t kMaxFdsPerMessage = 16;

struct FdMessage {
  std::string bytes;          // at most kMaxFdMessageBytes
  std::vector<UniqueFd> fds;  // at most kMaxFdsPerMessage, close-on-exec
};

// Never blocks when the socket is O_NONBLOCK: kUnavailable if it is full; kUnavailable with EPIPE
// if the peer is gone.
Status send_fd_message(int socket, std::string_view bytes, std::span<const int> fds = {});
// kUnavailable (EAGAIN) when nothing waits; kCancelled when the peer has closed; kInvalidArgument
// on a truncated message.
Result<FdMessage> receive_fd_message(int socket);

}  // namespace flodea
