// The connection to the supervisor. Errors are base's, as the supervisor made them; what never
// reached it has `unreachable`.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "cli/bundle/walk.h"
#include "flodea/operators/v1/operators.grpc.pb.h"

namespace flodea::cli {

inline constexpr char kDefaultSocket[] = "/run/flodea/control.sock";

// kUnavailable because no supervisor answers, as opposed to one that says so of something else.
bool is_unreachable(const Error& error);
Error error_of(const grpc::Status& status, const std::string& socket);

class Client {
 public:
  // Connects at once, so that a missing socket or right is told as what it is.
  static Result<std::unique_ptr<Client>> connect(const std::string& socket);

  operators::v1::Operators::Stub& stub() { return *stub_; }
  const std::string& socket() const { return socket_; }

  // client->call(&Stub::Get, request): the answer of a unary call.
  template <class Request, class Response>
  Result<Response> call(grpc::Status (operators::v1::Operators::Stub::*method)(grpc::ClientContext*,
                                                                               const Request&,
                                                                               Response*),
                        const Request& request) {
    grpc::ClientContext context;
    Response response;
    grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return tl::unexpected(error_of(status, socket_));
    return response;
  }

  // `sent` is told how many bytes went out so far.
  Result<operators::v1::PutBundleResponse> put_bundle(
      const BundleTree& tree, const std::function<void(std::uint64_t)>& sent);

 private:
  Client(std::string socket, std::unique_ptr<operators::v1::Operators::Stub> stub)
      : socket_(std::move(socket)), stub_(std::move(stub)) {}
  std::string socket_;
  std::unique_ptr<operators::v1::Operators::Stub> stub_;
};

}  // namespace flodea::cli
