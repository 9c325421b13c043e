// The Python runtime: CPython ≥ 3.11 of the runtime's root, /usr/bin/python3, on a file of the
// bundle. docs/runtimes/python.md.
#pragma once

#include "runtimes/runtime.h"

namespace flodea {

Runtime python_runtime();

}  // namespace flodea
