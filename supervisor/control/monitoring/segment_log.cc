#include "supervisor/control/monitoring/segment_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ranges>

#include "base/safe_path.h"

namespace flodea::control {
namespace {

constexpr std::uint64_t kMinSegmentBytes = 128 * 1024;
constexpr std::uint64_t kSegmentsKept = 8;
constexpr int kTriesBack = 16;  // chunks looked at from the end for a readable one

struct CloseDirectory {
  void operator()(DIR* d) const { ::closedir(d); }
};

Result<std::vector<std::string>> names_in(int directory, const AgentId& agent) {
  UniqueFd fd = TRY(open_beneath(directory, agent.text(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::unique_ptr<DIR, CloseDirectory> listing(::fdopendir(fd.get()));
  if (!listing) return fail_errno("fdopendir");
  fd.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

Status write_at(int fd, std::string_view data, std::uint64_t offset) {
  while (!data.empty()) {
    ssize_t n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write log segment");
    if (n == 0) return fail_errno("write log segment", ENOSPC);
    data.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

std::string path_of(const AgentId& agent, std::uint64_t number) {
  return agent.text() + "/" + segment_name(number);
}

}  // namespace

Result<std::unique_ptr<SegmentLog>> SegmentLog::open(Options options) {
  std::unique_ptr<SegmentLog> log(new SegmentLog(std::move(options)));
  TRY(make_dir(log->options_.directory, log->options_.agent.text(), 0700));
  TRY(log->find_segments());
  TRY(log->recover());
  return log;
}

Status SegmentLog::remove_files(int directory, const AgentId& agent) {
  auto names = names_in(directory, agent);
  if (!names && names.error().code == Code::kNotFound) return {};
  if (!names) return tl::unexpected(std::move(names).error());
  for (const std::string& name : *names) {
    if (::unlinkat(directory, (agent.text() + "/" + name).c_str(), 0) != 0 && errno != ENOENT)
      return fail_errno("unlink log segment");
  }
  if (::unlinkat(directory, agent.text().c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return fail_errno("remove log directory");
  return {};
}

Status SegmentLog::find_segments() {
  for (const std::string& name : TRY(names_in(options_.directory, options_.agent))) {
    auto number = segment_number(name);
    if (!number) continue;
    struct stat st{};
    auto path = path_of(options_.agent, *number);
    if (::fstatat(options_.directory, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("stat log segment");
    segments_.push_back({*number, static_cast<std::uint64_t>(st.st_size)});
  }
  std::ranges::sort(segments_, {}, &SegmentExtent::number);
  if (!segments_.empty()) next_number_ = segments_.back().number + 1;
  return {};
}

// Finds where the log ends: the last readable chunk, in the newest segment or, if that one has
// none, in an older one.
Status SegmentLog::recover() {
  if (!segments_.empty() &&
      segments_.back().bytes < kSegmentHeaderBytes) {  // killed while it began a segment
    TRY(unlink_segment(segments_.back().number));
    segments_.pop_back();
  }
  bool newest = true;
  for (const SegmentExtent& extent : std::vector(segments_.rbegin(), segments_.rend())) {
    bool found = TRY(recover_from(extent, newest));
    if (found) return {};
    newest = false;
  }
  if (!segments_.empty())
    damage_ = "no stored log line of it can be read: damaged, or written with another key";
  return {};
}

// True: a readable chunk was found. The newest segment is also made fit to be continued, or left as
// it is and a new one begins.
Result<bool> SegmentLog::recover_from(const SegmentExtent& extent, bool newest) {
  UniqueFd fd = TRY(open_segment(extent.number, O_RDWR));
  std::string header(kSegmentHeaderBytes, '\0');
  ssize_t n = ::pread(fd.get(), header.data(), header.size(), 0);
  if (n != static_cast<ssize_t>(header.size()) ||
      !check_segment_header(header, options_.agent, extent.number))
    return false;

  auto map = TRY(map_chunks(fd.get(), extent.bytes));
  bool torn = map.end < extent.bytes;
  bool cut = torn && newest && extent.bytes - map.end <= kChunkPrefixBytes + kMaxChunkBytes;
  if (cut) {
    if (::ftruncate(fd.get(), static_cast<off_t>(map.end)) != 0)
      return fail_errno("cut log segment");
    segments_.back().bytes = map.end;
  }
  int tries = 0;
  for (std::size_t i = map.offsets.size(); i > 0 && tries < kTriesBack; --i, ++tries) {
    std::uint64_t end = i == map.offsets.size() ? map.end : map.offsets[i];
    auto chunk = open_chunk(fd.get(), map.offsets[i - 1], end - map.offsets[i - 1],
                            options_.key.get(), header);
    if (!chunk) continue;
    positions_ = chunk->head.positions;
    stored_ns_ = chunk->head.stored_ns;
    next_line_ = chunk->head.first_line + chunk->head.lines;
    if (newest && tries == 0 && (cut || !torn)) {
      current_ = std::move(fd);
      header_ = std::move(header);
    } else if (newest) {
      damage_ = "the end of its newest log segment is damaged";
    }
    return true;
  }
  if (newest && map.offsets.empty() && (cut || !torn)) {  // begun, nothing stored yet
    current_ = std::move(fd);
    header_ = std::move(header);
  }
  return false;
}

Result<UniqueFd> SegmentLog::open_segment(std::uint64_t number, int flags) const {
  return open_beneath(options_.directory, path_of(options_.agent, number), flags | O_CLOEXEC,
                      (flags & O_CREAT) != 0 ? 0600 : 0);
}

Status SegmentLog::unlink_segment(std::uint64_t number) const {
  if (::unlinkat(options_.directory, path_of(options_.agent, number).c_str(), 0) != 0 &&
      errno != ENOENT)
    return fail_errno("unlink log segment");
  return {};
}

std::uint64_t SegmentLog::segment_bytes() const {
  return std::max(options_.keep_bytes / kSegmentsKept, kMinSegmentBytes);
}

Status SegmentLog::append(Generation generation, std::span<const LogRecord> records,
                          std::optional<std::uint64_t> seq) {
  std::lock_guard lock(write_mutex_);
  if (removed_) return fail(Code::kNotFound, "the agent's log is removed");
  std::size_t text = 0;
  for (const LogRecord& record : records) text += record.text.size() + 16;
  TRY(make_room(kChunkPrefixBytes + 128 + text));

  auto positions_before = positions_;
  if (seq) advance(generation, *seq);
  auto stored_ns = std::max(stored_ns_, options_.clock->wall().count());
  std::string plain;
  plain.reserve(128 + text);
  begin_chunk(
      {generation, next_line_, stored_ns, static_cast<std::uint32_t>(records.size()), positions_},
      plain);
  for (LogRecord record : records) {
    record.time_ns = std::clamp<std::int64_t>(record.time_ns, 0, stored_ns);
    append_record(record, plain);
  }
  auto written =
      write_chunk(seal_chunk(plain, options_.key.get(), header_, segments_.back().bytes));
  if (!written) {
    positions_ = std::move(positions_before);
    return written;
  }
  stored_ns_ = stored_ns;
  std::lock_guard index(index_mutex_);
  next_line_ += records.size();
  return {};
}

void SegmentLog::advance(Generation generation, std::uint64_t seq) {
  auto it = std::ranges::find(positions_, generation, &LogPosition::generation);
  if (it != positions_.end()) {
    it->seq = seq;
    return;
  }
  positions_.push_back({generation, seq});
  std::ranges::sort(positions_, {}, &LogPosition::generation);
  if (positions_.size() > 2) positions_.erase(positions_.begin());
}

// Deletes the oldest segments and begins a new one as needed. A failure leaves a shorter, sound
// log.
Status SegmentLog::make_room(std::uint64_t bytes) {
  if (current_ && segments_.back().bytes + bytes > segment_bytes()) current_.reset();
  for (;;) {
    std::uint64_t total = stored_bytes() + bytes;
    bool only_current = segments_.size() <= (current_ ? 1u : 0u);
    if (total <= options_.keep_bytes || only_current) break;
    TRY(unlink_segment(segments_.front().number));
    std::lock_guard index(index_mutex_);
    segments_.erase(segments_.begin());
  }
  if (!current_) TRY(begin_segment());
  return {};
}

Status SegmentLog::begin_segment() {
  UniqueFd fd = TRY(open_segment(next_number_, O_RDWR | O_CREAT | O_TRUNC));
  auto header = make_segment_header(options_.agent, next_number_, options_.clock->wall());
  auto written = write_at(fd.get(), header, 0);
  if (!written) {
    (void)unlink_segment(next_number_);  // the next try begins it again; at worst `open` drops it
    return written;
  }
  current_ = std::move(fd);
  header_ = std::move(header);
  std::lock_guard index(index_mutex_);
  segments_.push_back({next_number_++, kSegmentHeaderBytes});
  return {};
}

Status SegmentLog::write_chunk(const std::string& sealed) {
  std::uint64_t offset = segments_.back().bytes;
  auto written = write_at(current_.get(), sealed, offset);
  if (!written) {
    // What was written is no chunk. If it cannot even be cut off, this segment ends here and `open`
    // or a reader skips the rest.
    if (::ftruncate(current_.get(), static_cast<off_t>(offset)) != 0) current_.reset();
    return written;
  }
  std::lock_guard index(index_mutex_);
  segments_.back().bytes += sealed.size();
  return {};
}

std::uint64_t SegmentLog::stored_seq(Generation generation) const {
  std::lock_guard lock(write_mutex_);
  auto it = std::ranges::find(positions_, generation, &LogPosition::generation);
  return it != positions_.end() ? it->seq : 0;
}

LogSnapshot SegmentLog::snapshot() const {
  std::lock_guard index(index_mutex_);
  return {segments_, next_line_};
}

Result<std::vector<LogLine>> SegmentLog::read(const LogQuery& query) const {
  return read_log({options_.directory, options_.agent, options_.key.get()}, snapshot(), query);
}

std::uint64_t SegmentLog::stored_bytes() const {
  std::lock_guard index(index_mutex_);
  std::uint64_t total = 0;
  for (const SegmentExtent& extent : segments_) total += extent.bytes;
  return total;
}

void SegmentLog::keep(std::uint64_t bytes) {
  std::lock_guard lock(write_mutex_);
  options_.keep_bytes = bytes;
}

Status SegmentLog::remove() {
  std::lock_guard lock(write_mutex_);
  removed_ = true;
  current_.reset();
  {
    std::lock_guard index(index_mutex_);
    segments_.clear();
  }
  return remove_files(options_.directory, options_.agent);
}

}  // namespace flodea::control
