// The descriptors that cross an exec, by number. flodead arranges them; the program on the other
// side finds them here.
#pragma once

namespace flodea::fd_layout {

// flodea-control, as started by flodead.
namespace control {
inline constexpr int kRoot = 3;       // SEQPACKET to flodead (flodea.root.v1)
inline constexpr int kVault = 4;      // SEQPACKET to flodea-vault (flodea.vault.v1)
inline constexpr int kOperators = 5;  // listening unix stream socket of the operators' API
inline constexpr int kStateDir = 6;   // O_PATH of the state directory
inline constexpr int kMarks = 7;      // sealed memory: whose calls it is at (base/call_marks.h)
inline constexpr int kLast = 7;
}  // namespace control

// flodea-vault, as started by flodead.
namespace vault {
inline constexpr int kRoot = 3;     // SEQPACKET to flodead
inline constexpr int kControl = 4;  // SEQPACKET to flodea-control
inline constexpr int kVolumes = 5;  // directory of encrypted images
inline constexpr int kKeys = 6;     // directory of the node key and wrapped keys
inline constexpr int kTable =
    7;  // sealed memfd: whose /dev/fuse it holds where (base/device_table.h)
inline constexpr int kLast = 7;
}  // namespace vault

// flodea-helper: one SEQPACKET; the request comes on it with its descriptors, the reply leaves on
// it.
namespace helper {
inline constexpr int kRequest = 3;
}  // namespace helper

// flodea-worker. It holds *both* ends of what flodead keeps and uses one of each: a flodead that
// follows one that was killed takes them from here (pidfd_getfd, supervisor/root/takeover.h). The
// numbers are part of what outlives an upgrade: never changed, only added to.
namespace worker {
inline constexpr int kAttach = 3;      // SEQPACKET, the worker's end (flodea.attach.v1)
inline constexpr int kAttachPeer = 4;  // control's end, kept only
inline constexpr int kLogWrite = 5;    // log pipe, write end, O_NONBLOCK
inline constexpr int kLogRead = 6;     // log pipe, read end, kept only
inline constexpr int kStatusPage = 7;  // sealed memfd (base/status_page.h)
inline constexpr int kStore = 8;  // O_PATH dirfd of the store, kept only: 0700 of control's uid
inline constexpr int kWorkerFilter =
    9;  // sealed memfd: array of struct sock_filter for the worker itself
inline constexpr int kAgentFilter = 10;  // sealed memfd: the same for the agent
inline constexpr int kLast = 10;
}  // namespace worker

// The agent itself. 0 is /dev/null, 1 and 2 are pipes to the worker.
namespace agent {
inline constexpr int kCalls = 3;  // stream socket, JSON-RPC 2.0; its number stands in $FLODEA_FD
}  // namespace agent

// Above all of them: where descriptors wait before they get their numbers.
inline constexpr int kHigh = 64;

}  // namespace flodea::fd_layout
