// The attach socket (proto/flodea/attach/v1), worker's side: datagrams become domain values and
// back. Owner: Worker. Thread: the loop's. flodead keeps the other end open, so an end of file
// means nothing here; a control is known by its epoch, and what an older one sent late is dropped.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/ids.h"
#include "worker/agent_calls.h"
#include "worker/launcher.h"

namespace flodea::worker {

struct AttachOffer {
  UniqueFd socket;  // for gRPC
  std::optional<LaunchPlan> plan;
  CallLimits limits;
};

struct StartPhase {
  std::string name;
  Nanos duration;
};

class AttachClient {
 public:
  static constexpr std::uint32_t kProtocol = 1;

  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_attach(AttachOffer offer) = 0;
    virtual void on_stop(Nanos grace, std::string_view reason) = 0;
    virtual void on_set_deadline(Nanos boot) = 0;  // CLOCK_BOOTTIME; 0: none any more
  };

  AttachClient(EventLoop& loop, int socket, Handler& handler)
      : loop_(loop), socket_(socket), handler_(handler) {}
  ~AttachClient();
  AttachClient(const AttachClient&) = delete;

  Status start();

  void say_hello(bool agent_running, Nanos started_boot);
  void say_started(Nanos exec_boot, const std::vector<StartPhase>& phases);
  void say_exited(bool signaled, std::int32_t value, const std::string& exec_error);
  void refuse(const std::string& why);
  // News for control; dropped when the socket is full, since the status page has the rest.
  void say_probe_result(ProbeKind kind, std::string_view output);
  void say_probe_slow(ProbeKind kind);
  // False: the socket is full, and the counts are to be said later.
  bool say_denied(const std::map<std::string, std::uint64_t>& calls);

 private:
  void receive();
  void handle(std::string_view bytes, std::vector<UniqueFd> fds);
  void send(std::string bytes);
  void flush();

  EventLoop& loop_;
  int socket_;
  Handler& handler_;
  Epoch epoch_;                      // of the newest control seen
  std::deque<std::string> waiting_;  // no room in the socket: nobody reads it now
  std::uint32_t interest_ = 0;
};

}  // namespace flodea::worker
