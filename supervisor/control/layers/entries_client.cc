#include "supervisor/control/layers/entries_client.h"

#include <google/protobuf/io/coded_stream.h>

#include <limits>

#include "flodea/operators/v1/operators.pb.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxData = 256 << 10;  // as PutBundle's
constexpr std::uint32_t kMaxMessage = kMaxData + 4096;

}  // namespace

Status read_entries(std::string_view stream, BundleUpload& upload) {
  if (stream.size() > std::numeric_limits<int>::max())
    return fail(Code::kInternal, "the unpacker wrote more than 2 GiB");
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(stream.data()),
                                               static_cast<int>(stream.size()));
  operators::v1::PutBundleRequest request;
  while (static_cast<std::size_t>(input.CurrentPosition()) < stream.size()) {
    std::uint32_t size = 0;
    if (!input.ReadVarint32(&size) || size > kMaxMessage)
      return fail(Code::kInternal, "the unpacker wrote a message of no length that it may have");
    auto limit = input.PushLimit(static_cast<int>(size));
    if (!request.ParseFromCodedStream(&input) || input.BytesUntilLimit() != 0)
      return fail(Code::kInternal, "the unpacker wrote what is no entry of a bundle");
    input.PopLimit(limit);
    if (request.has_entry()) {
      TRY(upload.add(request.entry().path(), request.entry().mode(), request.entry().target()));
    } else if (request.data().size() <= kMaxData) {
      TRY(upload.append(request.data()));
    } else {
      return fail(Code::kInternal, "the unpacker wrote a message of more than 256Ki");
    }
  }
  return {};
}

}  // namespace flodea::control
