// Python's lock file: pip's requirements format with a hash for each requirement, as `pip-compile
// --generate-hashes`, `uv export` and `poetry export` write it. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "supervisor/unpacker/marker.h"
#include "supervisor/unpacker/version.h"

namespace flodea::unpacker {

struct Requirement {
  std::string name;  // normalised (PEP 503)
  Version version;
  std::string version_text;
  std::vector<std::string> sha256;  // lower-case hex; one of them must be the wheel's
  std::size_t line;                 // where it begins
};

struct PythonLock {
  std::vector<Requirement> requirements;  // sorted by name, each name once
  std::string wheels = "wheels";  // directory beside the lock file; --find-links names another
};

// "Foo.Bar_baz" → "foo-bar-baz".
std::string normal_name(std::string_view name);

// What has no meaning without an index is passed over (--index-url, --pre, …); what cannot be
// honoured is refused with FILE:LINE. Requirements whose marker does not hold are left out.
Result<PythonLock> parse_python_lock(const std::string& file, std::string_view text,
                                     const Interpreter& interpreter);

}  // namespace flodea::unpacker
