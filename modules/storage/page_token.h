// Where a listing goes on. Opaque to agents: base64url of a version byte and the last key seen. It
// gives no right that the agent has not, so it is checked for form and for its prefix, not signed.
#pragma once

#include <string>

#include "base/result.h"

namespace flodea::storage {

std::string encode_page_token(const std::string& last_key);
// The last key. kInvalidArgument: not a token, or of a listing with another prefix.
Result<std::string> decode_page_token(const std::string& token, const std::string& prefix);

}  // namespace flodea::storage
