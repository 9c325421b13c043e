// Reading small files, of /proc above all, in the tests of flodead.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

namespace flodea::root::testing {

// A file's text, or what could be read of it: a file of /proc ends with its process.
inline std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();  // unlike an iterator over it, this does not throw
  return out.str();
}

}  // namespace flodea::root::testing
