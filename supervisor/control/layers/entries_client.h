// What flodea-unpack writes: length-delimited flodea.operators.v1.PutBundleRequest messages, as a
// client of PutBundle sends them. It was made from what nobody trusts, by a program that such input
// may have taken over: bounded and checked as a client's.
#pragma once

#include <string_view>

#include "supervisor/control/operators/bundle_store.h"

namespace flodea::control {

Status read_entries(std::string_view stream, BundleUpload& upload);

}  // namespace flodea::control
