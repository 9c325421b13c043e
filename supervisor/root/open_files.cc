#include "supervisor/root/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace flodea::root {

Result<std::uint64_t> raise_open_files() {
  rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno("getrlimit RLIMIT_NOFILE");
  if (files.rlim_cur >= kOpenFilesWanted) return files.rlim_cur;
  // Above the hard limit with CAP_SYS_RESOURCE only, which some containers' root has not.
  const rlimit wanted{.rlim_cur = kOpenFilesWanted,
                      .rlim_max = std::max<rlim_t>(files.rlim_max, kOpenFilesWanted)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return wanted.rlim_cur;
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno("setrlimit RLIMIT_NOFILE");
  return files.rlim_cur;
}

std::uint32_t agents_for(std::uint64_t open_files) {
  if (open_files <= kOpenFilesBeside) return 0;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>((open_files - kOpenFilesBeside) / kOpenFilesPerAgent, 0xffffffff));
}

}  // namespace flodea::root
