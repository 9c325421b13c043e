// flodea.storage.v1.Store for one agent: decodes, and leaves the work to the agent's strand. Called
// on gRPC's threads; blocks none of them. A call that is cancelled is answered at once, even if its
// disk is stuck; whether its commit happened is then unknown, as after any lost connection.
#pragma once

#include <memory>

#include "flodea/storage/v1/store.grpc.pb.h"
#include "modules/storage/store_queue.h"

namespace flodea::storage {

class StoreService final : public v1::Store::CallbackService {
 public:
  explicit StoreService(std::shared_ptr<StoreQueue> queue) : queue_(std::move(queue)) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::GetResponse* response) override;
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const v1::PutRequest* request,
                                v1::PutResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListRequest* request,
                                 v1::ListResponse* response) override;
  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context,
                                   const v1::CommitRequest* request,
                                   v1::CommitResponse* response) override;

 private:
  std::shared_ptr<StoreQueue> queue_;
};

}  // namespace flodea::storage
