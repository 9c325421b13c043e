// The two verbs: from a lock file and the archives it names to a layer. Reads below `bundle` only.
#pragma once

#include <string>
#include <vector>

#include "supervisor/unpacker/layer.h"
#include "supervisor/unpacker/marker.h"

namespace flodea::unpacker {

struct Unpacked {
  std::size_t packages = 0;
  std::vector<std::string> left_out;  // for people: what was there and is of no use to an agent
};

// To __pypackages__/. Wheels in the order of their packages' names, each in its own order: the same
// wheels give the same bytes.
Result<Unpacked> unpack_python(int bundle, const std::string& lock, const Interpreter& interpreter,
                               Layer& layer);
// To node_modules/, in the order of paths.
Result<Unpacked> unpack_javascript(int bundle, const std::string& lock, Layer& layer);

inline constexpr const char* kPythonTop = "__pypackages__";
inline constexpr const char* kJavascriptTop = "node_modules";

// Shared by both: the lock's text; the bundle must not hold the directory that is to be made.
Result<std::string> read_lock(int bundle, const std::string& lock);
Status refuse_existing(int bundle, const std::string& top);
std::string beside(const std::string& lock, const std::string& name);

}  // namespace flodea::unpacker
