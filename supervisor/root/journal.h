// What the kernel does not undo by itself when flodead dies, one small file per instance in
// run-dir/journal, and what the next flodead needs to go on with an agent that runs. No fsync: it
// has to outlive a process, not the boot (the boot id is in each file).
//   before anything is made     "BOOTID RANGE\n": enough to undo it
//   once its worker runs        a KeptInstance (protobuf), replaced as a whole: enough to take over
// It also keeps the epoch of the last control: workers that outlive flodead have heard of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "flodea/root/v1/kept.pb.h"

namespace flodea::root {

struct JournalEntry {
  std::string name;  // of the instance and of its groups
  std::string boot_id;
  std::uint32_t uid_range = 0;
  std::optional<v1::KeptInstance> kept;

  std::string encode() const;
  static Result<JournalEntry> decode(std::string name, std::string_view text);
};

class Journal {
 public:
  static constexpr std::size_t kMaxEntryBytes = 64 * 1024;

  static Result<Journal> open(int run_dir);
  Status record(const JournalEntry& entry) const;
  Status erase(const std::string& name) const;
  // A file that cannot be read is skipped and removed: its writer was killed before it made
  // anything.
  Result<std::vector<JournalEntry>> entries() const;

  Status record_epoch(std::uint64_t epoch) const;
  Result<std::uint64_t> epoch() const;              // 0: none yet
  Status record_home(std::string_view text) const;  // group_home.h
  Result<std::string> home() const;                 // "": none yet

 private:
  explicit Journal(UniqueFd dir) : dir_(std::move(dir)) {}
  Status replace(const std::string& name, std::string_view bytes) const;
  UniqueFd dir_;
};

}  // namespace flodea::root
