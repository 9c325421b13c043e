// A directory of its own for one test, removed afterwards.
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/unique_fd.h"

namespace flodea::vault::testing {

class TemporaryDir {
 public:
  TemporaryDir() : path_(::mkdtemp(pattern_)) {}
  ~TemporaryDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  const std::string& path() const { return path_; }
  UniqueFd open() const {
    return UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

 private:
  char pattern_[64] = "/tmp/flodea-vault-test-XXXXXX";
  std::string path_;
};

}  // namespace flodea::vault::testing
