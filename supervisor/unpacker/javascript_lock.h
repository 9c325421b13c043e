// npm's package-lock.json, lockfileVersion 2 and 3. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace flodea::unpacker {

struct LockedPackage {
  std::string path;                 // "node_modules/a/node_modules/@b/c"
  std::string tarball;              // beside the lock file: "tarballs/b-c-1.2.3.tgz"
  std::vector<std::string> sha512;  // lower-case hex; one of them must be the tarball's
  bool optional;                    // may be absent
  std::size_t line;                 // of its key
};

// Sorted by path. Left out: what is for development only, what comes in another's tarball, and what
// is optional and for another system. Refused with FILE:LINE: links, what has no sha512, what is
// not optional and for another system. Scripts, `bin` and `engines` are not looked at.
Result<std::vector<LockedPackage>> parse_javascript_lock(const std::string& file,
                                                         std::string_view text);

}  // namespace flodea::unpacker
