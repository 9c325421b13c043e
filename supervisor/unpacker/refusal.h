// How a lock file is refused: one line that says where, what, and what to do about it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flodea::unpacker {

struct Place {
  std::string file;      // of the bundle, from its top
  std::size_t line = 0;  // from 1; 0: the file as a whole
  std::string text() const;
};

// What an agent brought, in a message: one line of at most 100 characters.
std::string shown(std::string_view text);

tl::unexpected<Error> refuse(const Place& place, std::string_view message, std::string_view remedy);

}  // namespace flodea::unpacker
