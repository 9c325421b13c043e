// The vault's protocol (proto/flodea/vault/v1): which socket a request came on decides what it may
// ask. One thread, on an EventLoop.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/device_table.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "supervisor/vault/keys.h"
#include "supervisor/vault/server.h"

namespace flodea::vault {

enum class Peer { kRoot, kControl };

class Service {
 public:
  // Borrows keys, server and clock; `volumes_dir` holds the images, `table` names what is served.
  Service(KeyStore& keys, Server& server, UniqueFd volumes_dir, std::shared_ptr<DeviceTable> table,
          const Clock& clock);

  struct Outcome {
    std::string reply;     // serialized vault.v1.Reply; may hold a key: wipe it
    UniqueFd new_control;  // from AttachControl: takes the place of the socket to control
  };
  // One request and the descriptors that came with it. Bytes that are no Request are the peer's
  // error (kInvalidArgument, id 0).
  Outcome handle(Peer peer, const std::string& bytes, std::vector<UniqueFd> fds);

 private:
  class Call;
  KeyStore& keys_;
  Server& server_;
  UniqueFd volumes_dir_;
  std::shared_ptr<DeviceTable> table_;
  const Clock& clock_;
};

// The two sockets on the loop. The vault lives as long as flodead's socket is open or a volume is
// being served: agents whose flodead was killed keep their disk until the next one takes over.
class Endpoints {
 public:
  Endpoints(EventLoop& loop, Service& service, const Server& server)
      : loop_(loop), service_(service), server_(server) {}
  Status listen(UniqueFd root, UniqueFd control);
  void stop_if_useless();  // a volume has closed

 private:
  Status watch(Peer peer, UniqueFd socket);
  void on_readable(Peer peer);
  void close(Peer peer);
  UniqueFd& socket_of(Peer peer) { return peer == Peer::kRoot ? root_ : control_; }

  EventLoop& loop_;
  Service& service_;
  const Server& server_;
  UniqueFd root_;
  UniqueFd control_;
};

}  // namespace flodea::vault
