// A layer on a descriptor, as the command line sends a bundle: PutBundleRequest messages
// (proto/flodea/operators/v1/operators.proto), each after its length as a varint. Only files:
// directories follow from their paths.
#pragma once

#include <memory>

#include "supervisor/unpacker/layer.h"

namespace flodea::unpacker {

class LayerStream final : public LayerSink {
 public:
  explicit LayerStream(int fd);
  ~LayerStream() override;
  Status file(const std::string& path, bool executable) override;
  Status data(std::string_view piece) override;
  Status flush();  // once, at the end

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace flodea::unpacker
