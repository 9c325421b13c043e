// The options --since and --until of `logs` and `events`: a duration back from now (10m), or a time
// (RFC 3339).
#pragma once

#include <string>

#include <google/protobuf/timestamp.pb.h>

#include "base/clock.h"

namespace flodea::cli {

std::string check_since(const std::string& text);  // what is wrong with it; empty: nothing
// Of a text that check_since has passed. More back than there was time is the beginning of it.
google::protobuf::Timestamp since_time(const std::string& text, Nanos now);

}  // namespace flodea::cli
