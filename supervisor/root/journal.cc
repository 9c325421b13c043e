#include "supervisor/root/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "base/number.h"
#include "base/safe_path.h"

namespace flodea::root {

namespace {

// Hidden: no instance's name begins so. One writer, so one name for what is not whole yet.
constexpr const char* kUnfinished = ".unfinished";
constexpr const char* kEpoch = ".epoch";
constexpr const char* kHome = ".cgroups";

Result<JournalEntry> decode_kept(std::string name, std::string_view bytes) {
  v1::KeptInstance kept;
  if (!kept.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      kept.boot_id().empty() || !kept.has_request())
    return fail(Code::kDataLoss, "journal entry " + name + " is cut off");
  kept.clear_descriptors();  // numbers of a process that is gone
  return JournalEntry{.name = std::move(name),
                      .boot_id = kept.boot_id(),
                      .uid_range = kept.uid_range(),
                      .kept = std::move(kept)};
}

}  // namespace

std::string JournalEntry::encode() const {
  if (kept) return kept->SerializeAsString();
  return boot_id + " " + std::to_string(uid_range) + "\n";
}

Result<JournalEntry> JournalEntry::decode(std::string name, std::string_view text) {
  std::size_t space = text.find(' ');
  JournalEntry entry{.name = std::move(name), .boot_id = {}, .uid_range = 0, .kept = {}};
  if (text.starts_with('\n')) return decode_kept(std::move(entry.name), text);  // its first tag
  std::optional<decltype(entry.uid_range)> range;
  if (space != std::string_view::npos && text.ends_with('\n'))
    range =
        parse_number<decltype(entry.uid_range)>(text.substr(space + 1, text.size() - space - 2));
  if (!range) return fail(Code::kDataLoss, "journal entry " + entry.name + " is cut off");
  entry.uid_range = *range;
  entry.boot_id = text.substr(0, space);
  return entry;
}

Result<Journal> Journal::open(int run_dir) {
  TRY(make_dir(run_dir, "journal", 0700));
  return Journal(TRY(open_beneath(run_dir, "journal", O_RDONLY | O_DIRECTORY)));
}

// As one step: a flodead that is killed meanwhile leaves the old entry or the new one.
Status Journal::replace(const std::string& name, std::string_view bytes) const {
  auto fd = TRY(open_beneath(dir_.get(), kUnfinished, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  TRY(write_all(fd.get(), bytes));
  if (::renameat(dir_.get(), kUnfinished, dir_.get(), name.c_str()) != 0)
    return fail_errno("rename journal entry " + name);
  return {};
}

Status Journal::record(const JournalEntry& entry) const {
  std::string bytes = entry.encode();
  if (bytes.size() > kMaxEntryBytes)
    return fail(Code::kInvalidArgument, "what is to be kept of " + entry.name + " is too long");
  return replace(entry.name, bytes);
}

Status Journal::record_epoch(std::uint64_t epoch) const {
  return replace(kEpoch, std::to_string(epoch) + "\n");
}

Status Journal::record_home(std::string_view text) const { return replace(kHome, text); }

Result<std::string> Journal::home() const {
  auto text = read_file(dir_.get(), kHome, kMaxEntryBytes);
  if (!text && text.error().sys_errno == ENOENT) return std::string();
  return text;
}

Result<std::uint64_t> Journal::epoch() const {
  auto text = read_file(dir_.get(), kEpoch, 64);
  if (!text && text.error().sys_errno == ENOENT) return 0;
  if (!text) return tl::unexpected(std::move(text).error());
  std::optional<std::uint64_t> epoch;
  if (text->ends_with('\n'))
    epoch = parse_number<std::uint64_t>(std::string_view(*text).substr(0, text->size() - 1));
  if (!epoch)
    return tl::unexpected(fail(Code::kDataLoss, "journal/.epoch of the run directory is no number")
                              .value()
                              .with_remedy("stop what runs in its cgroups, and remove it"));
  return *epoch;
}

Status Journal::erase(const std::string& name) const {
  if (::unlinkat(dir_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    return fail_errno("remove journal entry " + name);
  return {};
}

Result<std::vector<JournalEntry>> Journal::entries() const {
  auto copy = TRY(open_beneath(dir_.get(), ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy.release()), ::closedir);
  if (!dir) return fail_errno("read the journal");
  std::vector<JournalEntry> list;
  while (const dirent* file = ::readdir(dir.get())) {
    if (file->d_name[0] == '.') continue;
    auto text = read_file(dir_.get(), file->d_name, kMaxEntryBytes);
    if (text) {
      if (auto entry = JournalEntry::decode(file->d_name, *text)) {
        list.push_back(std::move(*entry));
        continue;
      }
    }
    TRY(erase(file->d_name));  // its group is ended like one that has no entry
  }
  return list;
}

}  // namespace flodea::root
