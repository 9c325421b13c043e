// Reading one archive, entry by entry, with libarchive: zip by its directory, or gzipped tar. All
// it says is untrusted. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

struct archive;

namespace flodea::unpacker {

struct ArchiveEntry {
  enum class Type { kFile, kDirectory, kOther };
  std::string path;  // as it is written there
  Type type = Type::kOther;
  bool executable = false;
};

class Archive {
 public:
  enum class Format { kZip, kTarGz };
  // `name` is for messages. The descriptor must be seekable and stay open.
  static Result<Archive> open(int fd, Format format, const std::string& name);

  // Nothing at the end.
  Result<std::optional<ArchiveEntry>> next();
  // The content of the entry last given, in pieces of ≤ 64 KiB.
  using Take = std::function<Status(std::string_view piece)>;
  Status read(const Take& take);

 private:
  struct Free {
    void operator()(archive* reader) const;
  };
  Archive(archive* reader, std::string name) : reader_(reader), name_(std::move(name)) {}
  tl::unexpected<Error> broken() const;

  std::unique_ptr<archive, Free> reader_;
  std::string name_;
};

}  // namespace flodea::unpacker
