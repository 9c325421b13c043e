// What is wrong with a command line, in one line as any other error.
#pragma once

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace flodea::cli {

// `wrong` is what parsing `app` ended with.
Error usage_error(const CLI::App& app, const CLI::ParseError& wrong);

}  // namespace flodea::cli
