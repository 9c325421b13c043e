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
