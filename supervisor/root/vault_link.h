// Requests to flodea-vault, over the socket of its present life. What waits when a life ends fails
// with kUnavailable.
#pragma once

#include <map>

#include "flodea/vault/v1/vault.pb.h"
#include "supervisor/root/async.h"

namespace flodea::root {

class VaultLink {
 public:
  explicit VaultLink(EventLoop& loop) : loop_(loop) {}

  Status connect(UniqueFd socket);  // O_NONBLOCK; of a new life
  void disconnect();
  bool connected() const { return socket_.valid(); }
  // Ids that no earlier user of the kept socket has asked with: a late answer finds nobody.
  void begin_ids_at(std::uint64_t id) { next_id_ = id; }
  bool idle() const { return waiting_.empty(); }
  int socket() const { return socket_.get(); }

  // `fd` -1: none. An error of the vault is an error here.
  OneShot<vault::v1::Reply> request(vault::v1::Request request, int fd, Nanos deadline);

 private:
  struct Waiting {
    OneShot<vault::v1::Reply> reply;
    EventLoop::TimerId timer;
  };
  void on_readable();
  void answer(std::uint64_t id, Result<vault::v1::Reply> reply);

  EventLoop& loop_;
  UniqueFd socket_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Waiting> waiting_;
};

}  // namespace flodea::root
