// The operators' face of control: one gRPC server on the unix socket that flodead listens on and
// control inherits.
//   auto server = OperatorsServer::start({.listening = …, .operators_group = …, .backends =
//   {lifecycle, events, logs, bundles}, …});
// Serves flodea.operators.v1, grpc.health.v1 and server reflection to root and the operators'
// group. The backends outlive it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "supervisor/control/operators/operators_service.h"

namespace flodea::control {

struct OperatorsConfig {
  UniqueFd listening;         // unix stream socket, listening; made non-blocking here
  gid_t operators_group = 0;  // of `flodea`; root may always
  OperatorsBackends backends;
  SpecBounds bounds;  // what manifests may ask of this host
  std::string version = FLODEA_VERSION;
};

class OperatorsServer {
 public:
  virtual ~OperatorsServer() = default;  // shuts down
  static Result<std::unique_ptr<OperatorsServer>> start(OperatorsConfig config);
  // Takes no more connections, cancels the calls under way, returns when the last is gone.
  // Idempotent.
  virtual void shutdown() = 0;
};

}  // namespace flodea::control
