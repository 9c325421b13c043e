// The name of a wheel's file (PEP 427) and which Pythons it is for (PEP 425, 600). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/unpacker/marker.h"
#include "supervisor/unpacker/version.h"

namespace flodea::unpacker {

struct WheelName {
  // NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl; nothing where it is no such name.
  static std::optional<WheelName> parse(std::string_view file);

  std::string file;
  std::string distribution;  // as the file spells it: also that of its NAME-VERSION.dist-info
  std::string version_text;
  Version version;
  std::vector<std::string> pythons, abis, platforms;
  std::string tags() const;  // "cp311-cp311-manylinux_2_17_x86_64"
};

// How well it fits, as pip orders them: the lower the better; nothing: not at all.
std::optional<unsigned> wheel_rank(const WheelName& wheel, const Interpreter& interpreter);

}  // namespace flodea::unpacker
