#include "supervisor/control/operators/upload_stream.h"

#include <utility>

#include "proto/status_codec/status_codec.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxData = 256 << 10;

}  // namespace

std::shared_ptr<UploadStream> UploadStream::make(BundleStore& store,
                                                 std::shared_ptr<SerialExecutor::Strand> strand,
                                                 std::shared_ptr<void> slot,
                                                 grpc::CallbackServerContext* context,
                                                 operators::v1::PutBundleResponse* response) {
  auto stream =
      std::make_shared<UploadStream>(store, std::move(strand), std::move(slot), context, response);
  stream->self_ = stream;
  stream->strand_->post([stream] { stream->open(); });
  return stream;
}

UploadStream::UploadStream(BundleStore& store, std::shared_ptr<SerialExecutor::Strand> strand,
                           std::shared_ptr<void> slot, grpc::CallbackServerContext* context,
                           operators::v1::PutBundleResponse* response)
    : store_(store),
      strand_(std::move(strand)),
      slot_(std::move(slot)),
      context_(context),
      response_(response) {}

void UploadStream::open() {
  if (!slot_) {
    auto error = fail(Code::kResourceExhausted, "too many bundles are being sent at once").value();
    return end(to_grpc_status(std::move(error).with_remedy("try again when one is done")));
  }
  auto upload = store_.receive();
  if (!upload) return end(to_grpc_status(upload.error()));
  upload_.emplace(std::move(*upload));
  read_next();
}

void UploadStream::read_next() {
  std::lock_guard lock(mutex_);
  if (!over_) StartRead(&request_);
}

void UploadStream::OnReadDone(bool ok) {
  strand_->post([self = shared_from_this(), ok] { ok ? self->take() : self->close(); });
}

void UploadStream::take() {
  auto stored = store_request();
  if (!stored) return end(to_grpc_status(stored.error()));
  read_next();
}

Status UploadStream::store_request() {
  if (request_.has_entry()) {
    const auto& entry = request_.entry();
    return upload_->add(entry.path(), entry.mode(), entry.target());
  }
  if (request_.data().size() > kMaxData)
    return fail(Code::kInvalidArgument, "a message of bundle data has more than 256Ki");
  return upload_->append(request_.data());
}

void UploadStream::close() {
  // The client half-closed, or is gone: then what came may not be all.
  if (context_->IsCancelled())
    return end(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the client"));
  auto stored = upload_->finish();
  if (!stored) return end(to_grpc_status(stored.error()));
  std::lock_guard lock(mutex_);
  if (std::exchange(over_, true)) return;
  response_->set_digest(stored->digest.text());
  response_->set_bytes(stored->bytes);
  response_->set_entries(stored->entries);
  response_->set_existed(stored->existed);
  Finish(grpc::Status::OK);
}

void UploadStream::end(const grpc::Status& status) {
  auto keep = shared_from_this();
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(over_, true)) return;
  }
  Finish(status);
}

void UploadStream::OnCancel() {
  end(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the client"));
}

void UploadStream::OnDone() {
  auto last = std::move(self_);
  // Removing what came so far touches the disk.
  strand_->post([last] { last->upload_.reset(); });
}

}  // namespace flodea::control
