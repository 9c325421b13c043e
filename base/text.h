// Text that came from elsewhere: UTF-8 as protobuf and terminals need it, and "did you mean …?".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace flodea {

// Well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text);
// Offset of the first byte that is not UTF-8, or npos.
std::size_t first_invalid_utf8(std::string_view text);
// Each byte that is no part of a character becomes U+FFFD; all else stays.
std::string replace_invalid_utf8(std::string_view text);
// At most `most` bytes of it as one line of valid UTF-8, fit for a terminal and a log: control
// characters (C0, DEL, C1) become spaces, no character is cut.
std::string clean_line(std::string_view text, std::size_t most);

// Insertions, deletions, substitutions and swaps of neighbours that lead from one to the other
// (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);
// Up to `most` candidates close enough to be meant by `word`, nearest first; none where nothing is
// near.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates,
                                 std::size_t most = 3);

}  // namespace flodea
