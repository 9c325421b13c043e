// What is timed: the same calls on every file system. Each workload gets a directory of its own and
// leaves it as the next one needs it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace flodea::bench {

struct Scale {
  std::uint64_t file_bytes;  // of the sequential and random workloads
  unsigned random_operations;
  unsigned small_files;
  unsigned syncs;
  std::string tar;  // path of the archive to unpack
};

struct Workload {
  std::string name;
  std::function<Result<Nanos>(const std::string& dir, const Scale& scale)> run;
  bool prepares = false;  // others use what it leaves
};

// In order: later ones use what earlier ones left (the read its file, stat and unlink the small
// files).
const std::vector<Workload>& workloads();

// An archive of source-like files: many small ones, few large ones, nested directories;
// reproducible. Returns its path below `dir`.
Result<std::string> make_archive(const std::string& dir, unsigned files);

}  // namespace flodea::bench
