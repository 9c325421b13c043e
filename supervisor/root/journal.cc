#include "supervisor/root/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <memory>

#include "base/safe_path.h"

namespace flodea::root {

std::string JournalEntry::encode() const {
  return boot_id + " " + std::to_string(uid_range) + "\n";
}

Result<JournalEntry> JournalEntry::decode(std::string name, std::string_view text) {
  std::size_t space = text.find(' ');
  if (space == std::string_view::npos || !text.ends_with('\n'))
    return fail(Code::kDataLoss, "journal entry " + name + " is cut off");
  JournalEntry entry{.name = std::move(name), .boot_id = std::string(text.substr(0, space))};
  std::string_view number = text.substr(space + 1, text.size() - space - 2);
  auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), entry.uid_range);
  if (error != std::errc() || end != number.data() + number.size())
    return fail(Code::kDataLoss, "journal entry " + entry.name + " has no range");
  return entry;
}

Result<Journal> Journal::open(int run_dir) {
  TRY(make_dir(run_dir, "journal", 0700));
  return Journal(TRY(open_beneath(run_dir, "journal", O_RDONLY | O_DIRECTORY)));
}

Status Journal::record(const JournalEntry& entry) const {
  auto fd = TRY(open_beneath(dir_.get(), entry.name, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  return write_all(fd.get(), entry.encode());
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
    auto entry = JournalEntry::decode(file->d_name, TRY(read_file(dir_.get(), file->d_name, 4096)));
    if (entry)
      list.push_back(std::move(*entry));
    else
      TRY(erase(file->d_name));
  }
  return list;
}

}  // namespace flodea::root
