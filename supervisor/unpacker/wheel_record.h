// RECORD of a wheel: CSV of path, hash, size, for every file in it (PEP 376, 427). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::unpacker {

// Path → SHA-256 in lower-case hex; "" for what needs none: RECORD itself and its signatures.
// `name` is the path of RECORD in the wheel. kInvalidArgument, without the wheel's name.
Result<std::map<std::string, std::string>> parse_wheel_record(const std::string& name,
                                                              std::string_view text);

}  // namespace flodea::unpacker
