#include "supervisor/unpacker/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace flodea::unpacker {
namespace {

constexpr std::size_t kBlock = 64 << 10;

ArchiveEntry::Type type_of(archive_entry* entry) {
  // A hard link has the type of what it names.
  if (::archive_entry_hardlink(entry) != nullptr) return ArchiveEntry::Type::kOther;
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return ArchiveEntry::Type::kFile;
    case AE_IFDIR:
      return ArchiveEntry::Type::kDirectory;
    default:
      return ArchiveEntry::Type::kOther;
  }
}

}  // namespace

void Archive::Free::operator()(archive* reader) const { ::archive_read_free(reader); }

tl::unexpected<Error> Archive::broken() const {
  const char* text = ::archive_error_string(reader_.get());
  return fail(Code::kInvalidArgument,
              fmt::format("{} cannot be read: {}", name_,
                          clean_line(text != nullptr ? text : "damaged", 120)));
}

Result<Archive> Archive::open(int fd, Format format, const std::string& name) {
  Archive opened(::archive_read_new(), name);
  archive* reader = opened.reader_.get();
  if (reader == nullptr) return fail(Code::kResourceExhausted, "no memory to read " + name);
  int set = ARCHIVE_OK;
  if (format == Format::kZip) {
    set = ::archive_read_support_format_zip_seekable(reader);
  } else {
    set = ::archive_read_support_filter_gzip(reader) | ::archive_read_support_format_tar(reader);
  }
  if (set != ARCHIVE_OK || ::archive_read_open_fd(reader, fd, kBlock) != ARCHIVE_OK)
    return opened.broken();
  return opened;
}

Result<std::optional<ArchiveEntry>> Archive::next() {
  archive_entry* entry = nullptr;
  int status = ::archive_read_next_header(reader_.get(), &entry);
  if (status == ARCHIVE_EOF) return std::nullopt;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return broken();
  const char* path = ::archive_entry_pathname_utf8(entry);
  if (path == nullptr)
    return fail(Code::kInvalidArgument, name_ + " has an entry whose name is not UTF-8");
  return ArchiveEntry{.path = path,
                      .type = type_of(entry),
                      .executable = (::archive_entry_perm(entry) & 0111) != 0};
}

Status Archive::read(const Take& take) {
  std::array<char, kBlock> piece;
  for (;;) {
    la_ssize_t n = ::archive_read_data(reader_.get(), piece.data(), piece.size());
    if (n == 0) return {};
    if (n < 0) return broken();
    TRY(take({piece.data(), static_cast<std::size_t>(n)}));
  }
}

}  // namespace flodea::unpacker
