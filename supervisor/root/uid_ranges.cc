#include "supervisor/root/uid_ranges.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>

#include "base/safe_path.h"

namespace flodea::root {
namespace {

// The table: the boot id, padded, then one byte per range.
constexpr std::int64_t kHeader = 64;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool overlaps(std::uint32_t index, const SubordinateIds& ids) {
  std::uint64_t first = UidRanges::kFirst + std::uint64_t{index} * UidRange::kSize;
  return ids.first < first + UidRange::kSize && first < ids.first + ids.count;
}

Result<UniqueFd> open_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("mkdir " + path);
  auto dir = TRY(adopt_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                          "open " + path));
  struct stat info;
  if (::fstat(dir.get(), &info) != 0) return fail_errno("stat " + path);
  if (info.st_uid != ::geteuid() || (info.st_mode & 022) != 0) {
    auto error = fail(Code::kFailedPrecondition, path + " is not root's alone").value();
    return tl::unexpected(std::move(error).with_remedy("remove it: rm -r " + path));
  }
  return dir;
}

}  // namespace

std::vector<SubordinateIds> parse_subids(std::string_view text) {
  std::vector<SubordinateIds> list;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::size_t first = line.find(':');
    std::size_t count = line.rfind(':');
    if (first == std::string_view::npos || first == count) continue;
    list.push_back({number(line.substr(first + 1)), number(line.substr(count + 1))});
  }
  return list;
}

Result<UidRanges> UidRanges::open(const std::string& directory, std::string_view boot_id,
                                  const std::vector<SubordinateIds>& taken) {
  UidRanges ranges;
  auto dir = TRY(open_directory(directory));
  ranges.table_ = TRY(open_beneath(dir.get(), "uid-ranges", O_RDWR | O_CREAT, 0600));
  TRY(ranges.start_boot(boot_id));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    for (const SubordinateIds& ids : taken) {
      if (overlaps(i, ids)) ranges.reserved_.insert(i);
    }
  }
  return ranges;
}

Status UidRanges::lock(short type, std::int64_t offset) const {
  struct flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = offset;
  range.l_len = 1;
  if (::fcntl(table_.get(), F_OFD_SETLK, &range) != 0)
    return fail_errno("lock the table of uid ranges");
  return {};
}

// A table of an earlier boot says nothing: its processes are gone. Two supervisors that start at
// once may both find it old; what each has to do is the same.
Status UidRanges::start_boot(std::string_view boot_id) {
  std::string header(boot_id.substr(0, kHeader));
  header.resize(kHeader, ' ');
  TRY_CONTEXT(lock(F_WRLCK, 0), "another supervisor is starting");
  std::string found(kHeader, '\0');
  ssize_t n = ::pread(table_.get(), found.data(), found.size(), 0);
  if (n < 0) return fail_errno("read the table of uid ranges");
  if (found != header) {
    if (::ftruncate(table_.get(), 0) != 0 || ::ftruncate(table_.get(), kHeader + kCount) != 0)
      return fail_errno("clear the table of uid ranges");
    if (::pwrite(table_.get(), header.data(), header.size(), 0) != kHeader)
      return fail_errno("write the table of uid ranges");
  }
  return lock(F_UNLCK, 0);
}

Result<bool> UidRanges::claim(std::uint32_t index) {
  std::int64_t at = kHeader + index;
  if (reserved_.contains(index) || !lock(F_WRLCK, at)) return false;
  char used = 1;
  bool free = ::pread(table_.get(), &used, 1, at) == 1 && used == 0;
  used = 1;
  bool written = free && ::pwrite(table_.get(), &used, 1, at) == 1;
  TRY(lock(F_UNLCK, at));
  return written;
}

Result<UidRange> UidRanges::take() {
  for (std::uint32_t tried = 0; tried < kCount; ++tried) {
    std::uint32_t index = next_;
    next_ = (next_ + 1) % kCount;
    if (TRY(claim(index)))
      return UidRange{.index = index, .base = kFirst + index * UidRange::kSize};
  }
  auto error = fail(Code::kResourceExhausted, "every uid range of this host is taken").value();
  return tl::unexpected(std::move(error).with_remedy(
      "stop agents, or remove entries of /etc/subuid above " + std::to_string(kFirst)));
}

Status UidRanges::give(UidRange range) { return give_back(range.index); }

Status UidRanges::give_back(std::uint32_t index) {
  if (index >= kCount) return fail(Code::kInvalidArgument, "no uid range " + std::to_string(index));
  char used = 0;
  if (::pwrite(table_.get(), &used, 1, kHeader + index) != 1)
    return fail_errno("write the table of uid ranges");
  return {};
}

}  // namespace flodea::root
