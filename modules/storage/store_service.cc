#include "modules/storage/store_service.h"

#include <atomic>
#include <utility>

#include "proto/status_codec/status_codec.h"

namespace flodea::storage {
namespace {

// Moves what the store gave into the response; runs only if the call is still there to be answered.
using Fill = std::function<void()>;
using Work = std::function<Result<Fill>(Store&)>;

class StoreCall final : public grpc::ServerUnaryReactor {
 public:
  StoreCall(std::shared_ptr<StoreQueue> queue, const google::protobuf::Message& response)
      : queue_(std::move(queue)), response_(response) {}

  void begin(Work work) {
    auto id = queue_->submit([claim = claim_, work = std::move(work)](Store& store) {
      Result<Fill> result = work(store);
      if (StoreCall* call = claim->exchange(nullptr)) call->end(result);
    });
    if (id) {
      id_ = *id;
    } else if (claim_->exchange(nullptr) != nullptr) {
      Finish(to_grpc_status(id.error()));
    }
  }

  void OnCancel() override {
    if (claim_->exchange(nullptr) == nullptr) return;
    queue_->cancel(id_);
    Finish(grpc::Status::CANCELLED);
  }

  // The reply has left for the agent, or never will.
  void OnDone() override {
    if (held_ > 0) queue_->release(held_);
    delete this;
  }

 private:
  void end(const Result<Fill>& result) {
    if (!result) return Finish(to_grpc_status(result.error()));
    (*result)();
    held_ = response_.ByteSizeLong();
    queue_->hold(held_);
    Finish(grpc::Status::OK);
  }

  using Claim = std::atomic<StoreCall*>;  // who takes the pointer out answers the call

  std::shared_ptr<StoreQueue> queue_;
  const google::protobuf::Message& response_;
  std::shared_ptr<Claim> claim_ = std::make_shared<Claim>(this);
  StoreQueue::Id id_ = 0;
  std::size_t held_ = 0;
};

grpc::ServerUnaryReactor* start(const std::shared_ptr<StoreQueue>& queue,
                                const google::protobuf::Message& response, Work work) {
  auto call = std::make_unique<StoreCall>(queue, response);
  call->begin(std::move(work));
  return call.release();  // until OnDone
}

grpc::ServerUnaryReactor* refuse(grpc::CallbackServerContext* context, const Error& error) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(to_grpc_status(error));
  return reactor;
}

// Put and Delete are batches of one: the agent knows their fields by other names.
template <class T>
Result<T> rename_fields(Result<T> result) {
  if (result) return result;
  std::string& field = result.error().field;
  if (field == "conditions[0]") field = "if_version";
  if (field == "puts[0].value" || field == "puts") field = "value";
  if (field.ends_with("].key") || field == "deletes[0]") field = "key";
  return result;
}

Batch decode(const v1::PutRequest& request) {
  Batch batch;
  batch.puts.push_back({request.key(), request.value()});
  if (request.has_if_version()) batch.conditions.push_back({request.key(), request.if_version()});
  return batch;
}

Batch decode(const v1::DeleteRequest& request) {
  Batch batch;
  batch.deletes.push_back(request.key());
  if (request.has_if_version()) batch.conditions.push_back({request.key(), request.if_version()});
  return batch;
}

Batch decode(const v1::CommitRequest& request) {
  Batch batch;
  for (const auto& condition : request.conditions()) {
    batch.conditions.push_back({condition.key(), condition.version()});
  }
  for (const auto& put : request.puts()) batch.puts.push_back({put.key(), put.value()});
  batch.deletes.assign(request.deletes().begin(), request.deletes().end());
  batch.dedup_key = request.dedup_key();
  return batch;
}

void encode(Entry&& entry, v1::Entry& out) {
  out.set_key(std::move(entry.key));
  out.set_value(std::move(entry.value));
  out.set_version(entry.version);
}

// Looked at before anything is copied: a megabyte of empty operations is half a million of them.
Status check_size(const v1::CommitRequest& request) {
  auto operations = static_cast<std::size_t>(request.conditions_size()) +
                    static_cast<std::size_t>(request.puts_size()) +
                    static_cast<std::size_t>(request.deletes_size());
  if (operations <= kMaxOperations) return {};
  return tl::unexpected(Error{.code = Code::kInvalidArgument,
                              .message = "a commit has at most 1,000 operations",
                              .field = "puts"});
}

}  // namespace

grpc::ServerUnaryReactor* StoreService::Get(grpc::CallbackServerContext* /*context*/,
                                            const v1::GetRequest* request,
                                            v1::GetResponse* response) {
  return start(queue_, *response, [key = request->key(), response](Store& store) -> Result<Fill> {
    auto entry = std::make_shared<Entry>(TRY(store.get(key)));
    return [entry, response] { encode(std::move(*entry), *response->mutable_entry()); };
  });
}

grpc::ServerUnaryReactor* StoreService::Put(grpc::CallbackServerContext* /*context*/,
                                            const v1::PutRequest* request,
                                            v1::PutResponse* response) {
  return start(queue_, *response,
               [batch = decode(*request), response](Store& store) -> Result<Fill> {
                 Committed done = TRY(rename_fields(store.commit(batch)));
                 return [done, response] { response->set_version(done.version); };
               });
}

grpc::ServerUnaryReactor* StoreService::Delete(grpc::CallbackServerContext* /*context*/,
                                               const v1::DeleteRequest* request,
                                               v1::DeleteResponse* response) {
  return start(queue_, *response,
               [batch = decode(*request), response](Store& store) -> Result<Fill> {
                 Committed done = TRY(rename_fields(store.commit(batch)));
                 return [done, response] { response->set_existed(done.deleted > 0); };
               });
}

grpc::ServerUnaryReactor* StoreService::List(grpc::CallbackServerContext* /*context*/,
                                             const v1::ListRequest* request,
                                             v1::ListResponse* response) {
  Query query{.prefix = request->prefix(),
              .page_size = request->page_size(),
              .page_token = request->page_token(),
              .keys_only = request->keys_only()};
  return start(queue_, *response,
               [query = std::move(query), response](Store& store) -> Result<Fill> {
                 auto page = std::make_shared<Page>(TRY(store.list(query)));
                 return [page, response] {
                   for (Entry& entry : page->entries)
                     encode(std::move(entry), *response->add_entries());
                   response->set_next_page_token(page->next_page_token);
                 };
               });
}

grpc::ServerUnaryReactor* StoreService::Commit(grpc::CallbackServerContext* context,
                                               const v1::CommitRequest* request,
                                               v1::CommitResponse* response) {
  if (Status size = check_size(*request); !size) return refuse(context, size.error());
  return start(queue_, *response,
               [batch = decode(*request), response](Store& store) -> Result<Fill> {
                 Committed done = TRY(store.commit(batch));
                 return [done, response] {
                   response->set_version(done.version);
                   response->set_deleted(done.deleted);
                 };
               });
}

}  // namespace flodea::storage
