#include "worker/grpc_channel.h"

#include <fcntl.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/support/channel_arguments.h>
#include <poll.h>
#include <sys/epoll.h>

#include <thread>
#include <unordered_map>
#include <vector>

namespace flodea::worker {
namespace {

constexpr int kMaxReplyBytes = 4 << 20;

grpc::ByteBuffer to_buffer(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string to_string(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return out;
  for (const auto& slice : slices)
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE,
                   0);  // no PINGs: a socketpair has no bandwidth to probe
  arguments.SetInt(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
  return arguments;
}

bool peer_gone(int socket) {
  pollfd p{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&p, 1, 0) > 0;
}

}  // namespace

// One call and the steps gRPC tells of through the queue. It lives until the last step that it
// waits for: `pending` counts them.
struct GrpcChannels::Call {
  enum class Step { kStarted, kWritten, kHeaders, kRead, kFinished };
  struct Tag {
    Call* call;
    Step step;
  };

  Channel* channel = nullptr;  // null once the channel is gone
  CallId id = 0;
  std::shared_ptr<grpc::Channel> connection;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer message;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> unary;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream;
  int pending = 0;
  bool may_read = false;  // the headers are there: gRPC wants no Read beside its wait for them
  bool wants_item = false;
  Tag started{this, Step::kStarted}, written{this, Step::kWritten}, headers{this, Step::kHeaders},
      read{this, Step::kRead}, finished{this, Step::kFinished};

  void* expect(Tag& tag) {
    ++pending;
    return &tag;
  }
  void begin_unary(grpc::GenericStub& stub, const std::string& path, grpc::CompletionQueue& queue) {
    unary = stub.PrepareUnaryCall(&context, path, request, &queue);
    unary->StartCall();
    unary->Finish(&message, &status, expect(finished));
  }
  void begin_stream(grpc::GenericStub& stub, const std::string& path,
                    grpc::CompletionQueue& queue) {
    stream = stub.PrepareCall(&context, path, &queue);
    stream->StartCall(expect(started));
  }
  void want_item() {
    wants_item = true;
    if (may_read && std::exchange(wants_item, false)) stream->Read(&message, expect(read));
  }
  void finish() { stream->Finish(&status, expect(finished)); }
  // What follows a step. The status is waited for from the headers on, so that an end is seen
  // though nobody reads.
  void advance(Step step, bool ok) {
    switch (step) {
      case Step::kStarted:
        return ok ? stream->WriteLast(request, {}, expect(written)) : finish();
      case Step::kWritten:
        return ok ? stream->ReadInitialMetadata(expect(headers)) : finish();
      case Step::kHeaders:
        finish();
        may_read = ok;
        if (wants_item) want_item();
        return;
      case Step::kRead:
      case Step::kFinished:
        return;
    }
  }
};

class GrpcChannels::Queue {
 public:
  explicit Queue(EventLoop& loop) : loop_(loop), thread_([this] { serve(); }) {}
  ~Queue() {
    queue_.Shutdown();
    thread_.join();
    // What was posted last never runs; the calls themselves go with `calls_`.
  }

  grpc::CompletionQueue& queue() { return queue_; }
  Call& add() {
    auto call = std::make_unique<Call>();
    Call& added = *call;
    calls_.emplace(&added, std::move(call));
    return added;
  }
  void remove(Call& call) { calls_.erase(&call); }
  void abandon(Channel* channel) {
    for (auto& [raw, call] : calls_) {
      if (call->channel != channel) continue;
      call->channel = nullptr;
      call->context.TryCancel();
    }
  }

 private:
  void serve() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      loop_.post([this, tag, ok] { step(*static_cast<Call::Tag*>(tag), ok); });
    }
  }
  void step(Call::Tag& tag, bool ok);

  EventLoop& loop_;
  grpc::CompletionQueue queue_;
  std::unordered_map<Call*, std::unique_ptr<Call>> calls_;
  std::thread thread_;
};

class GrpcChannels::Channel final : public CallChannel {
 public:
  Channel(EventLoop& loop, Queue& queue, UniqueFd watched,
          std::shared_ptr<grpc::Channel> connection, CallObserver& observer)
      : loop_(loop),
        queue_(queue),
        watched_(std::move(watched)),
        connection_(std::move(connection)),
        stub_(connection_),
        observer_(observer) {}

  ~Channel() override {
    loop_.unwatch(watched_.get());
    queue_.abandon(this);
  }

  // The copy of the socket says at once, and without gRPC's help, that control is gone.
  Status watch() {
    return loop_.watch(watched_.get(), EPOLLRDHUP, [this](std::uint32_t) {
      loop_.unwatch(watched_.get());
      observer_.on_connection_lost();
    });
  }

  void start(CallStart start) override {
    Call& call = queue_.add();
    call.channel = this;
    call.id = start.id;
    call.connection = connection_;
    call.request = to_buffer(start.request);
    if (start.timeout) call.context.set_deadline(std::chrono::system_clock::now() + *start.timeout);
    calls_.emplace(start.id, &call);
    start.streams ? call.begin_stream(stub_, start.path, queue_.queue())
                  : call.begin_unary(stub_, start.path, queue_.queue());
  }
  void read_next(CallId id) override {
    if (auto it = calls_.find(id); it != calls_.end()) it->second->want_item();
  }
  void cancel(CallId id) override {
    if (auto it = calls_.find(id); it != calls_.end()) it->second->context.TryCancel();
  }

  void item(Call& call) { observer_.on_item(call.id, to_string(call.message)); }
  // Ends the call. Calls the observer last: that may destroy this channel.
  void done(Call& call) {
    CallOutcome outcome{.code = static_cast<int>(call.status.error_code()),
                        .message = call.status.error_message(),
                        .details = call.status.error_details()};
    if (call.unary && call.status.ok()) outcome.reply = to_string(call.message);
    outcome.connection_lost =
        outcome.code == static_cast<int>(Code::kUnavailable) && peer_gone(watched_.get());
    CallId id = call.id;
    calls_.erase(id);
    queue_.remove(call);
    observer_.on_done(id, std::move(outcome));
  }

 private:
  EventLoop& loop_;
  Queue& queue_;
  UniqueFd watched_;
  std::shared_ptr<grpc::Channel> connection_;
  grpc::GenericStub stub_;
  CallObserver& observer_;
  std::unordered_map<CallId, Call*> calls_;
};

void GrpcChannels::Queue::step(Call::Tag& tag, bool ok) {
  Call& call = *tag.call;
  --call.pending;
  call.advance(tag.step, ok);
  if (tag.step == Call::Step::kRead && ok && call.channel != nullptr) call.channel->item(call);
  if (call.pending > 0) return;
  call.channel != nullptr ? call.channel->done(call) : remove(call);
}

GrpcChannels::GrpcChannels(EventLoop& loop) : loop_(loop) {}
GrpcChannels::~GrpcChannels() = default;

Result<std::unique_ptr<CallChannel>> GrpcChannels::open(UniqueFd socket, CallObserver& observer) {
  int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("fcntl");
  auto watched = TRY(socket.duplicate());
  if (!queue_) queue_ = std::make_unique<Queue>(loop_);
  auto connection =
      grpc::CreateCustomInsecureChannelFromFd("control", socket.release(), channel_arguments());
  auto channel = std::make_unique<Channel>(loop_, *queue_, std::move(watched),
                                           std::move(connection), observer);
  TRY(channel->watch());
  return channel;
}

}  // namespace flodea::worker
