// PutBundle: one client stream into one BundleUpload. One message is in memory at a time; the disk
// is touched on the strand only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>

#include "base/serial_executor.h"
#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/operators/bundle_store.h"

namespace flodea::control {

class UploadStream final : public grpc::ServerReadReactor<operators::v1::PutBundleRequest>,
                           public std::enable_shared_from_this<UploadStream> {
 public:
  static std::shared_ptr<UploadStream> make(BundleStore& store,
                                            std::shared_ptr<SerialExecutor::Strand> strand,
                                            std::shared_ptr<void> slot,
                                            grpc::CallbackServerContext* context,
                                            operators::v1::PutBundleResponse* response);
  UploadStream(BundleStore& store, std::shared_ptr<SerialExecutor::Strand> strand,
               std::shared_ptr<void> slot, grpc::CallbackServerContext* context,
               operators::v1::PutBundleResponse* response);

 private:
  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  // On the strand:
  void open();
  void take();
  void close();
  Status store_request();
  void read_next();
  void end(const grpc::Status& status);

  BundleStore& store_;
  std::shared_ptr<SerialExecutor::Strand> strand_;
  std::shared_ptr<void> slot_;  // one of the uploads that may run at a time
  grpc::CallbackServerContext* context_;
  operators::v1::PutBundleResponse* response_;
  operators::v1::PutBundleRequest request_;
  std::optional<BundleUpload> upload_;
  std::mutex mutex_;
  bool over_ = false;  // under mutex_
  std::shared_ptr<UploadStream> self_;
};

}  // namespace flodea::control
