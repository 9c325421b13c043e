// A client of the operators' server of fakes.h, and what its tests often ask.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/operators/testing/fakes.h"

namespace flodea::control::testing {

namespace pb = operators::v1;

struct Client {
  explicit Client(const TestServer& server)
      : channel(connect(server)), stub(pb::Operators::NewStub(channel)) {}
  static std::shared_ptr<grpc::Channel> connect(const TestServer& server) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + server.socket, grpc::InsecureChannelCredentials(),
                                     own);
  }
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Operators::Stub> stub;
};

inline pb::PutBundleRequest entry(const std::string& path, std::uint32_t mode,
                                  const std::string& target = "") {
  pb::PutBundleRequest request;
  request.mutable_entry()->set_path(path);
  request.mutable_entry()->set_mode(mode);
  request.mutable_entry()->set_target(target);
  return request;
}

inline pb::PutBundleRequest data(std::string bytes) {
  pb::PutBundleRequest request;
  request.set_data(std::move(bytes));
  return request;
}

inline grpc::Status put(Client& client, const std::vector<pb::PutBundleRequest>& parts,
                        pb::PutBundleResponse& response) {
  grpc::ClientContext context;
  auto writer = client.stub->PutBundle(&context, &response);
  for (const auto& part : parts) {
    if (!writer->Write(part)) break;
  }
  writer->WritesDone();
  return writer->Finish();
}

inline std::string put_small(Client& client) {
  pb::PutBundleResponse response;
  REQUIRE(put(client, {entry("main.py", S_IFREG | 0644), data("print(1)\n")}, response).ok());
  return response.digest();
}

inline pb::ApplyRequest apply_request(const std::string& digest,
                                      const std::string& name = "ledger") {
  pb::ApplyRequest request;
  pb::AgentManifest& m = *request.mutable_manifest();
  m.set_api_version("flodea/v1");
  m.set_kind("Agent");
  m.mutable_metadata()->set_name(name);
  m.mutable_spec()->mutable_runtime()->set_type("python");
  m.mutable_spec()->mutable_runtime()->set_entrypoint("main.py");
  m.mutable_spec()->set_bundle(digest);
  return request;
}

template <class Response, class Request>
std::pair<grpc::Status, Response> call(
    Client& client,
    grpc::Status (pb::Operators::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request) {
  grpc::ClientContext context;
  Response response;
  grpc::Status status = (client.stub.get()->*method)(&context, request, &response);
  return {status, response};
}

}  // namespace flodea::control::testing
