#include "cli/client/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "proto/status_codec/status_codec.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

constexpr char kUnreachable[] = "unreachable";

Error unreachable(const std::string& socket, int err) {
  std::string why = err == 0 ? "the connection was closed" : std::strerror(err);
  Error error =
      fail(Code::kUnavailable, fmt::format("cannot reach the supervisor on {}: {}", socket, why))
          .value();
  const std::string member =
      "be root or a member of group flodea (usermod -aG flodea NAME, then log in again)";
  std::string remedy =
      "start it (systemctl start flodea, or flodead in the foreground), or name its socket with "
      "--socket";
  if (err == EACCES || err == EPERM) remedy = member;
  if (err == 0) remedy = "try again where it is just being started; else " + member;
  return std::move(std::move(error).with_remedy(remedy).with_metadata(kUnreachable, "true"));
}

// The path may be longer than sun_path: then through a descriptor of its directory.
Result<sockaddr_un> address_of(const std::string& socket, UniqueFd& directory) {
  sockaddr_un address{.sun_family = AF_UNIX};
  std::string path = socket;
  if (path.size() >= sizeof address.sun_path) {
    std::size_t slash = path.rfind('/');
    std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    directory =
        TRY(adopt_fd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open " + parent));
    path = fmt::format("/proc/self/fd/{}/{}", directory.get(), path.substr(slash + 1));
  }
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return fail_errno("socket " + socket, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> connect_unix(const std::string& socket) {
  UniqueFd directory;
  auto address = address_of(socket, directory);
  if (!address) return tl::unexpected(unreachable(socket, address.error().sys_errno));
  auto fd = TRY(adopt_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  int rc;
  do {
    rc = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return tl::unexpected(unreachable(socket, errno));
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("socket");
  return fd;
}

class UploadSink final : public BundleSink {
 public:
  UploadSink(grpc::ClientWriter<pb::PutBundleRequest>& writer,
             const std::function<void(std::uint64_t)>& sent)
      : writer_(writer), sent_(sent) {}

  Status entry(const BundleItem& item) override {
    pb::PutBundleRequest request;
    request.mutable_entry()->set_path(item.path);
    request.mutable_entry()->set_mode(item.mode);
    request.mutable_entry()->set_target(item.target);
    return write(request);
  }
  Status data(std::string_view piece) override {
    pb::PutBundleRequest request;
    request.set_data(piece.data(), piece.size());
    sent_(bytes_ += piece.size());
    return write(request);
  }
  bool broken() const { return broken_; }

 private:
  Status write(const pb::PutBundleRequest& request) {
    if (writer_.Write(request)) return {};
    broken_ = true;  // the call has ended: its status says why
    return fail(Code::kUnavailable, "the supervisor ended the upload");
  }
  grpc::ClientWriter<pb::PutBundleRequest>& writer_;
  const std::function<void(std::uint64_t)>& sent_;
  std::uint64_t bytes_ = 0;
  bool broken_ = false;
};

}  // namespace

bool is_unreachable(const Error& error) {
  for (const auto& [key, value] : error.metadata) {
    if (key == kUnreachable) return true;
  }
  return false;
}

Error error_of(const grpc::Status& status, const std::string& socket) {
  // The supervisor's own refusals carry details; a transport's failure does not.
  bool transport =
      status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty();
  return transport ? unreachable(socket, 0) : from_grpc_status(status);
}

Result<std::unique_ptr<Client>> Client::connect(const std::string& socket) {
  auto fd = TRY(connect_unix(socket));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(16 << 20);
  auto channel = grpc::CreateCustomInsecureChannelFromFd("flodea", fd.release(), arguments);
  return std::unique_ptr<Client>(new Client(socket, pb::Operators::NewStub(channel)));
}

Result<pb::PutBundleResponse> Client::put_bundle(const BundleTree& tree,
                                                 const std::function<void(std::uint64_t)>& sent) {
  grpc::ClientContext context;
  pb::PutBundleResponse response;
  auto writer = stub_->PutBundle(&context, &response);
  UploadSink sink(*writer, sent);
  auto walked = send_bundle(tree, sink);
  if (!walked && !sink.broken()) context.TryCancel();
  if (walked) writer->WritesDone();
  grpc::Status status = writer->Finish();
  if (!walked && !sink.broken()) return tl::unexpected(std::move(walked).error());
  if (!status.ok()) return tl::unexpected(error_of(status, socket_));
  return response;
}

}  // namespace flodea::cli
