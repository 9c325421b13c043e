// flodea.agent.v1.Self for one agent. Called on gRPC's threads; blocks none of them.
#pragma once

#include "flodea/agent/v1/self.grpc.pb.h"
#include "modules/agent/self.h"

namespace flodea::agent {

class SelfService final : public v1::Self::CallbackService {
 public:
  SelfService(Description description, SelfPort& port, StopBoard& stop);

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context,
                                     const v1::DescribeRequest* request,
                                     v1::DescribeResponse* response) override;
  grpc::ServerUnaryReactor* Usage(grpc::CallbackServerContext* context,
                                  const v1::UsageRequest* request,
                                  v1::UsageResponse* response) override;
  grpc::ServerUnaryReactor* Log(grpc::CallbackServerContext* context, const v1::LogRequest* request,
                                v1::LogResponse* response) override;
  grpc::ServerUnaryReactor* Ready(grpc::CallbackServerContext* context,
                                  const v1::ReadyRequest* request,
                                  v1::ReadyResponse* response) override;
  grpc::ServerUnaryReactor* Beat(grpc::CallbackServerContext* context,
                                 const v1::BeatRequest* request,
                                 v1::BeatResponse* response) override;
  grpc::ServerWriteReactor<v1::StopNotice>* WatchStop(grpc::CallbackServerContext* context,
                                                      const v1::WatchStopRequest* request) override;

 private:
  const Description description_;
  SelfPort& port_;
  StopBoard& stop_;
};

}  // namespace flodea::agent
