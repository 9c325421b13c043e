#include "supervisor/unpacker/layer_stream.h"

#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <sys/stat.h>

#include "flodea/operators/v1/operators.pb.h"

namespace flodea::unpacker {

struct LayerStream::Stream {
  explicit Stream(int fd) : out(fd, 64 << 10) {}

  Status send() {
    if (google::protobuf::util::SerializeDelimitedToZeroCopyStream(message, &out)) return {};
    return fail_errno("write the layer", out.GetErrno());
  }

  google::protobuf::io::FileOutputStream out;
  operators::v1::PutBundleRequest message;
};

LayerStream::LayerStream(int fd) : stream_(std::make_unique<Stream>(fd)) {}
LayerStream::~LayerStream() = default;

Status LayerStream::file(const std::string& path, bool executable) {
  auto& entry = *stream_->message.mutable_entry();
  entry.set_path(path);
  entry.set_mode(S_IFREG | (executable ? 0755u : 0644u));
  return stream_->send();
}

Status LayerStream::data(std::string_view piece) {
  stream_->message.set_data(piece.data(), piece.size());
  return stream_->send();
}

Status LayerStream::flush() {
  if (stream_->out.Flush()) return {};
  return fail_errno("write the layer", stream_->out.GetErrno());
}

}  // namespace flodea::unpacker
