// Whether another build of a program could go on from a state: it is executed as a child with
// `--check-state` or `--check`, and says so by its exit status; its last line on standard error is
// the reason why not.
#pragma once

#include "supervisor/root/async.h"
#include "supervisor/root/process.h"

namespace flodea::root {

// `spec` without a descriptor 2. kFailedPrecondition: it could not, or cannot be executed, and the
// message is its reason; kUnimplemented: it ended without saying why, in the words of our programs;
// at the deadline it is killed.
OneShot<bool> check_program(EventLoop& loop, ProgramSpec spec, Nanos deadline);

// What a line of a program's log says, of `error="…"` if it has one.
std::string reason_of(std::string_view log);

}  // namespace flodea::root
