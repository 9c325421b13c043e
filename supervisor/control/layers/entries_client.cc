#include "supervisor/control/layers/entries_client.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <limits>

#include "flodea/operators/v1/operators.pb.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxData = 256 << 10;  // as PutBundle's

}  // namespace

Status read_entries(std::string_view stream, BundleUpload& upload) {
  if (stream.size() > std::numeric_limits<int>::max())
    return fail(Code::kInternal, "the unpacker wrote more than 2 GiB");
  google::protobuf::io::ArrayInputStream input(stream.data(), static_cast<int>(stream.size()));
  operators::v1::PutBundleRequest request;
  for (bool clean_end = false;;) {
    if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&request, &input, &clean_end)) {
      if (clean_end) return {};
      return fail(Code::kInternal, "the unpacker wrote what is no entry of a bundle");
    }
    if (request.has_entry()) {
      TRY(upload.add(request.entry().path(), request.entry().mode(), request.entry().target()));
    } else if (request.data().size() <= kMaxData) {
      TRY(upload.append(request.data()));
    } else {
      return fail(Code::kInternal, "the unpacker wrote a message of more than 256Ki");
    }
  }
}

}  // namespace flodea::control
