// Control's side of flodea-vault's protocol: control may ask for the key of an agent's
// log, and for the one of kept machine code (proto/flodea/vault/v1). Owner: the core thread;
// callbacks run on it. A vault that is starting again answers late or never: a request is sent anew
// every `patience` until it is answered or `kAttempts` are spent (then kUnavailable). Idempotent.
// Keys are wiped from messages once taken.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/ids.h"
#include "supervisor/control/monitoring/log_store.h"

namespace flodea::control {

class VaultClient {
 public:
  using KeyCallback = std::function<void(Result<LogKey>)>;
  static constexpr int kAttempts = 10;
  static constexpr Nanos kPatience = std::chrono::seconds(1);

  static Result<std::unique_ptr<VaultClient>> create(EventLoop& loop, UniqueFd socket,
                                                     Nanos patience = kPatience);
  ~VaultClient();

  void get_log_key(const AgentId& agent, KeyCallback done);
  // For machine code that is kept (supervisor/control/layers).
  void get_code_key(KeyCallback done);

 private:
  struct Pending {
    std::string request;
    KeyCallback done;
    int sent = 0;
    EventLoop::TimerId timer = 0;
  };
  VaultClient(EventLoop& loop, UniqueFd socket, Nanos patience);
  void ask(std::uint64_t id, std::string request, KeyCallback done);
  void send(std::uint64_t id);
  void overdue(std::uint64_t id);
  void turn();
  void answer(std::uint64_t id, Result<LogKey> key);

  EventLoop& loop_;
  UniqueFd socket_;
  Nanos patience_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Pending> pending_;
};

}  // namespace flodea::control
