# The WebAssembly engine, Wasmtime: target ext_wasmtime, for what calls flodea_uses_wasmtime(TARGET). FLODEA_WITH_WASM says whether
# this build has it; one that has not leaves flodea-wasm and flodea-wasmc out, and an apply of `type: wasm` is refused.
set(FLODEA_WASM AUTO CACHE STRING "The WebAssembly runtime: ON, OFF, or AUTO: where a cargo of at least 1.95 is found")
set_property(CACHE FLODEA_WASM PROPERTY STRINGS AUTO ON OFF)
set(FLODEA_WITH_WASM OFF)
if(FLODEA_WASM)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS runtimes/wasm/engine/Cargo.lock runtimes/wasm/engine/Cargo.toml
    runtimes/wasm/engine/src/lib.rs)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/wasm_engine --path OUTPUT_VARIABLE FLODEA_WASMTIME_DIR
    RESULT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(found EQUAL 0)
    set(FLODEA_WITH_WASM ON)
  elseif(FLODEA_WASM STREQUAL "AUTO" AND found EQUAL 3)
    message(WARNING "No cargo of at least 1.95 is here: this build has no WebAssembly runtime, and `type: wasm` will be refused. "
                    "Run scripts/setup, or install Rust from https://rustup.rs; -DFLODEA_WASM=OFF silences this.")
  else()
    message(FATAL_ERROR "FLODEA_WASM=${FLODEA_WASM}, but scripts/wasm_engine --path ended with ${found}: run scripts/setup, "
                        "or configure with -DFLODEA_WASM=OFF")
  endif()
endif()

if(FLODEA_WITH_WASM AND NOT FLODEA_SANITIZE)
  set(FLODEA_WASMTIME_LIBRARY ${FLODEA_WASMTIME_DIR}/lib/libflodea_wasmtime.a)
  # In the terminal: cargo says itself how far it is.
  add_custom_command(OUTPUT ${FLODEA_WASMTIME_LIBRARY} COMMAND ${CMAKE_SOURCE_DIR}/scripts/wasm_engine --build
    COMMENT "WebAssembly engine" USES_TERMINAL VERBATIM)
  add_custom_target(flodea_wasmtime DEPENDS ${FLODEA_WASMTIME_LIBRARY})
  add_library(ext_wasmtime INTERFACE)
  target_include_directories(ext_wasmtime SYSTEM INTERFACE ${FLODEA_WASMTIME_DIR}/include)
  target_link_libraries(ext_wasmtime INTERFACE ${FLODEA_WASMTIME_LIBRARY} Threads::Threads m dl)
endif()

# flodea_uses_wasmtime(TARGET): after the target's sources are declared; waits for the engine's headers.
function(flodea_uses_wasmtime target)
  target_link_libraries(${target} PRIVATE ext_wasmtime)
  add_dependencies(${target} flodea_wasmtime)
endfunction()

# What modules are built with, for tests and examples: Debian's clang with wasi-libc, and AssemblyScript from npm.
set(FLODEA_WITH_WASM_GUESTS OFF)
find_program(FLODEA_WASI_CLANG clang)
find_program(FLODEA_NODE node)
if(FLODEA_WITH_WASM AND FLODEA_GRPC AND NOT FLODEA_FUZZ)
  if(FLODEA_WASI_CLANG AND FLODEA_NODE AND EXISTS /usr/include/wasm32-wasi/wasi/api.h)
    set(FLODEA_WITH_WASM_GUESTS ON)
  else()
    message(WARNING "clang, wasi-libc or node is missing: the WebAssembly tests and examples are left out. Run scripts/setup.")
  endif()
endif()

set(FLODEA_WASM_SDK ${CMAKE_SOURCE_DIR}/sdk/wasm)
set(FLODEA_ASC_DIR ${CMAKE_BINARY_DIR}/assemblyscript)

# flodea_wasm_c(OUT SOURCES a.c … [FLAGS …]): a module in C with the SDK.
function(flodea_wasm_c out)
  cmake_parse_arguments(A "" "" "SOURCES;FLAGS" ${ARGN})
  list(TRANSFORM A_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set(sdk ${FLODEA_WASM_SDK}/src/flodea.c ${FLODEA_WASM_SDK}/src/json.c)
  get_filename_component(folder ${out} DIRECTORY)
  add_custom_command(OUTPUT ${out} DEPENDS ${A_SOURCES} ${sdk} ${FLODEA_WASM_SDK}/include/flodea.h ${FLODEA_WASM_SDK}/src/json.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
    COMMAND ${FLODEA_WASI_CLANG} --target=wasm32-wasi -O2 -Wall -Wextra -I${FLODEA_WASM_SDK}/include ${A_FLAGS} ${A_SOURCES} ${sdk} -o ${out}
    COMMENT "Compiling ${out}" VERBATIM)
endfunction()

# flodea_wasm_as(OUT SOURCE): a module in AssemblyScript, which imports "flodea/assembly".
function(flodea_wasm_as out source)
  get_filename_component(folder ${out} DIRECTORY)
  get_filename_component(name ${out} NAME_WE)
  add_custom_command(OUTPUT ${out} DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} ${FLODEA_ASC_DIR}/ready
    COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/${source} ${FLODEA_ASC_DIR}/${name}.ts
    COMMAND ${FLODEA_NODE} node_modules/assemblyscript/bin/asc.js ${name}.ts -O --config node_modules/@assemblyscript/wasi-shim/asconfig.json
            --outFile ${out}
    WORKING_DIRECTORY ${FLODEA_ASC_DIR} COMMENT "Compiling ${out}" VERBATIM)
endfunction()

if(FLODEA_WITH_WASM_GUESTS)
  flodea_npm_packages(toolchain cmake/assemblyscript)
  file(GLOB_RECURSE package CONFIGURE_DEPENDS ${FLODEA_WASM_SDK}/assemblyscript/*)
  # Links to the compiler and its shim, and a copy of the SDK's package: 100 MB are there once for all builds.
  add_custom_command(OUTPUT ${FLODEA_ASC_DIR}/ready DEPENDS ${toolchain}/lock.sha256 ${package}
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${FLODEA_ASC_DIR}/node_modules
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${FLODEA_WASM_SDK}/assemblyscript ${FLODEA_ASC_DIR}/node_modules/flodea
    COMMAND ${CMAKE_COMMAND} -E create_symlink ${toolchain}/node_modules/assemblyscript ${FLODEA_ASC_DIR}/node_modules/assemblyscript
    COMMAND ${CMAKE_COMMAND} -E create_symlink ${toolchain}/node_modules/@assemblyscript ${FLODEA_ASC_DIR}/node_modules/@assemblyscript
    COMMAND ${CMAKE_COMMAND} -E touch ${FLODEA_ASC_DIR}/ready VERBATIM)
  # One owner of what several folders' modules wait for.
  add_custom_target(flodea_assemblyscript DEPENDS ${FLODEA_ASC_DIR}/ready)
endif()
