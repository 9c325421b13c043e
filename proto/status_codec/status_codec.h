// Errors across gRPC: the one place where base's Error becomes a status with google.rpc details,
// and back. `field` travels as BadRequest, `metadata` (and the code's name as reason) as ErrorInfo
// of domain "flodea", `remedy` as Help. Pure.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace flodea {

grpc::Status to_grpc_status(const Error& error);
// What a client got. Details that are not ours, or broken, are left out; an unknown code is
// kUnknown.
Error from_grpc_status(const grpc::Status& status);

}  // namespace flodea
