// The JavaScript runtime: Node.js ≥ 18 of the runtime's root, /usr/bin/node, on an ES module or a
// CommonJS file of the bundle. docs/runtimes/javascript.md.
#pragma once

#include "runtimes/runtime.h"

namespace flodea {

Runtime javascript_runtime();

}  // namespace flodea
