// Environment markers of requirements (PEP 508): `python_version >= "3.9" and os_name == "posix"`.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::unpacker {

// The Python that the packages are for; the rest is this build's own.
struct Interpreter {
  // "3.11" or "3.11.2"; nothing where it is no CPython 3.
  static std::optional<Interpreter> parse(std::string_view text);
  unsigned minor = 0;        // of 3
  std::string full_version;  // "" where only the minor one is known
  unsigned glibc_minor = 0;  // of 2; the oldest that the host may have
  std::string machine;       // "x86_64"
};

// kInvalidArgument: no marker, or one that asks what is not known when packages are unpacked.
Result<bool> evaluate_marker(std::string_view marker, const Interpreter& interpreter);

}  // namespace flodea::unpacker
