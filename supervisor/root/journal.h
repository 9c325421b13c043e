// What the kernel does not undo by itself when flodead dies: groups and uid ranges, one small file
// per instance in run-dir/journal, written before they are made. No fsync: it has to outlive a
// process, not the boot (the boot id is in each file).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace flodea::root {

struct JournalEntry {
  std::string name;  // of the instance and of its groups
  std::string boot_id;
  std::uint32_t uid_range = 0;

  std::string encode() const;
  static Result<JournalEntry> decode(std::string name, std::string_view text);
};

class Journal {
 public:
  static Result<Journal> open(int run_dir);
  Status record(const JournalEntry& entry) const;
  Status erase(const std::string& name) const;
  // A file that cannot be read is skipped and removed: its writer was killed before it made
  // anything.
  Result<std::vector<JournalEntry>> entries() const;

 private:
  explicit Journal(UniqueFd dir) : dir_(std::move(dir)) {}
  UniqueFd dir_;
};

}  // namespace flodea::root
