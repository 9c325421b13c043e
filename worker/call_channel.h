// The worker's side of its connection to control, as AgentCalls sees it. grpc_channel.h is the real
// one; tests have a fake. Everything happens on the loop's thread, and an observer is never called
// from within a call to the channel.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace flodea::worker {

using CallId = std::uint64_t;

struct CallStart {
  CallId id;
  std::string path;     // "/package.Service/Method"
  std::string request;  // serialized
  bool streams;         // the server answers with a stream
  std::optional<Nanos> timeout;
};

struct CallOutcome {
  int code = 0;  // gRPC's
  std::string message;
  std::string details;  // serialized google.rpc.Status, or empty
  std::string reply;    // of a unary call that succeeded
  bool connection_lost =
      false;  // the outcome is the connection's, not the server's: whether it acted is unknown
};

class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void on_item(CallId id, std::string message) = 0;
  virtual void on_done(CallId id, CallOutcome outcome) = 0;  // the last of its call
  virtual void on_connection_lost() = 0;  // what is started from now on would fail
};

class CallChannel {
 public:
  virtual ~CallChannel() =
      default;  // calls in flight are cancelled; their observer hears nothing more
  virtual void start(CallStart call) = 0;
  virtual void read_next(
      CallId id) = 0;  // of a stream: one more item is wanted. At most one at a time
  virtual void cancel(CallId id) = 0;  // on_done follows
};

class CallChannelFactory {
 public:
  virtual ~CallChannelFactory() = default;
  // `socket` is one end of a fresh socketpair whose other end speaks gRPC.
  virtual Result<std::unique_ptr<CallChannel>> open(UniqueFd socket, CallObserver& observer) = 0;
};

}  // namespace flodea::worker
