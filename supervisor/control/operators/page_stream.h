// A server stream fed page by page from a store that may block. One write is in flight at a time
// and one page in memory: a client that stops reading stops this stream and nothing else.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/serial_executor.h"
#include "proto/status_codec/status_codec.h"

namespace flodea::control {

template <class Message>
class PageStream final : public grpc::ServerWriteReactor<Message>,
                         public std::enable_shared_from_this<PageStream<Message>> {
 public:
  // What comes next; an empty page: nothing for now. Called on the strand, may block.
  using NextPage = std::function<Result<std::vector<Message>>()>;

  static std::shared_ptr<PageStream> make(std::shared_ptr<SerialExecutor::Strand> strand,
                                          bool follow) {
    auto stream = std::make_shared<PageStream>(std::move(strand), follow);
    stream->self_ = stream;
    return stream;
  }
  PageStream(std::shared_ptr<SerialExecutor::Strand> strand, bool follow)
      : strand_(std::move(strand)), follow_(follow) {}

  // From any thread, once. `cleanup` runs when the stream is over (at once if it is already).
  void begin(NextPage next, std::function<void()> cleanup) {
    {
      std::lock_guard lock(mutex_);
      if (!over_) {
        next_ = std::move(next);
        cleanup_ = std::move(cleanup);
        post_step();
        return;
      }
    }
    cleanup();
  }
  // From any thread, must not block: there may be more.
  void wake() {
    std::lock_guard lock(mutex_);
    woken_ = true;
    if (idle_ && !over_) post_step();
  }
  // What is there is still sent, then the stream ends.
  void stop_following() {
    std::lock_guard lock(mutex_);
    follow_ = false;
    if (idle_ && !over_) post_step();
  }
  void end(const grpc::Status& status) {
    auto keep = this->shared_from_this();
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(over_, true)) return;
    }
    this->Finish(status);
  }

 private:
  // With mutex_ held. A share goes along, so that the step finds the stream whatever has ended
  // meanwhile.
  void post_step() {
    idle_ = false;
    strand_->post([self = this->shared_from_this()] { self->step(); });
  }
  void step() {
    {
      std::lock_guard lock(mutex_);
      if (over_) return;
      woken_ = false;
    }
    auto page = next_();
    if (!page) return end(to_grpc_status(page.error()));
    if (page->empty()) return pause();
    std::lock_guard lock(mutex_);
    page_ = std::move(*page);
    at_ = 0;
    if (!over_) write();
  }
  void pause() {
    bool finished = false;
    {
      std::lock_guard lock(mutex_);
      finished = !follow_ && !woken_;
      if (woken_ && !over_)
        post_step();
      else
        idle_ = true;
    }
    if (finished) end(grpc::Status::OK);
  }
  // With mutex_ held. No buffer hint: with it the first write, which carries the metadata, never
  // completes (gRPC 1.51).
  void write() { this->StartWrite(&page_[at_]); }
  void OnWriteDone(bool ok) override {
    if (!ok) return end(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
    std::lock_guard lock(mutex_);
    if (over_) return;
    if (++at_ < page_.size())
      write();
    else
      post_step();
  }
  void OnCancel() override {
    end(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the client"));
  }
  void OnDone() override {
    auto last = std::move(self_);
    std::function<void()> cleanup;
    {
      std::lock_guard lock(mutex_);
      cleanup = std::move(cleanup_);
    }
    if (cleanup) cleanup();
  }

  std::shared_ptr<SerialExecutor::Strand> strand_;
  NextPage next_;
  std::vector<Message> page_;  // the strand's while no write is in flight, else gRPC's
  std::size_t at_ = 0;
  std::mutex mutex_;  // the rest
  std::function<void()> cleanup_;
  bool follow_;
  bool idle_ = false;   // an empty page was seen, no step is posted
  bool woken_ = false;  // since the page in hand was asked for
  bool over_ = false;
  std::shared_ptr<PageStream> self_;
};

}  // namespace flodea::control
