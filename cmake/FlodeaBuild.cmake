# Compiler settings and the few functions with which every folder declares its targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g")
if(FLODEA_SANITIZE AND NOT FLODEA_FUZZ)
  # Unoptimized and with no more debug information than a report needs: a third of the time to build, and no bug optimized away.
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
elseif(FLODEA_FUZZ)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
endif()

find_program(FLODEA_CCACHE ccache)
if(FLODEA_CCACHE)
  # Paths of the tree count from its top: what one checkout has compiled serves another.
  set(FLODEA_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${FLODEA_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${FLODEA_LAUNCHER})
  set(CMAKE_C_COMPILER_LAUNCHER ${FLODEA_LAUNCHER})
endif()
find_program(FLODEA_MOLD mold)
if(FLODEA_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(flodea_flags INTERFACE)
target_include_directories(flodea_flags INTERFACE ${CMAKE_SOURCE_DIR})
# A warning is an error with the compiler of the releases; Clang, of the sanitizers, has others.
target_compile_options(flodea_flags INTERFACE
  -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Werror> $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local> -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  -fno-omit-frame-pointer -fstack-protector-strong)
target_compile_definitions(flodea_flags INTERFACE FLODEA_VERSION="${PROJECT_VERSION}" _GNU_SOURCE)
if(FLODEA_SANITIZE)
  add_compile_options(-fsanitize=${FLODEA_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FLODEA_SANITIZE})
  if(FLODEA_SANITIZE MATCHES "address")
    add_compile_definitions(__SANITIZE_ADDRESS__)  # GCC's macros; Clang 19 does not have them
  elseif(FLODEA_SANITIZE MATCHES "thread")
    add_compile_definitions(__SANITIZE_THREAD__)
  endif()
else()
  add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()
if(FLODEA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,-z,relro,-z,now)

find_package(Threads REQUIRED)

# A folder's files have most of their headers in common (gRPC, protobuf, CLI11), which take longer to read and to instantiate than they do:
# they are compiled sixteen at a time. A build from nothing takes less than half as long, one after a change to a single file longer: the
# preset `debug` is without. Names in unnamed namespaces are therefore a folder's, not a file's: FLODEA_UNITY_BATCH=0, all files of a
# folder at once, finds those that only the batches' border keeps apart.
option(FLODEA_UNITY "Compile a folder's files some at a time" ON)
set(FLODEA_UNITY_BATCH 16 CACHE STRING "How many at a time; 0: all")
function(flodea_unity target)
  if(FLODEA_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${FLODEA_UNITY_BATCH})
    # That a type has one of an unnamed namespace in it: said of every file that is not the one compiled.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()

# flodea_library(NAME [SEPARATE] SOURCES a.cc … LINK lib …): one static library per folder, target flodea_NAME.
# SEPARATE: its files are each of one form, with the same names in unnamed namespaces.
function(flodea_library name)
  cmake_parse_arguments(A "SEPARATE" "" "SOURCES;LINK" ${ARGN})
  add_library(flodea_${name} STATIC ${A_SOURCES})
  if(NOT A_SEPARATE)
    flodea_unity(flodea_${name})
  endif()
  target_link_libraries(flodea_${name} PUBLIC flodea_flags ${A_LINK})
  if(FLODEA_SANITIZE)
    set_target_properties(flodea_${name} PROPERTIES EXCLUDE_FROM_ALL ON)  # built where a test needs it
  endif()
endfunction()

# flodea_program(NAME SOURCES a.cc … LINK lib …): a program that ships; lands in build/<preset>/NAME.
function(flodea_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  flodea_unity(${name})
  target_link_libraries(${name} PRIVATE flodea_flags ${A_LINK})
  add_dependencies(flodea-all ${name})
  if(FLODEA_SANITIZE MATCHES "thread")
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)  # built where a test starts it
  endif()
endfunction()

# flodea_confined(NAME): of sanitizer builds; what a sanitizer must not do in a program that forbids being traced and runs under seccomp.
function(flodea_confined name)
  if(FLODEA_SANITIZE)
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/confined_asan_options.cc)
  endif()
endfunction()

# flodea_in_sandboxes(NAME [FOLDER]): a program that runs under an agent's limits, or where no shared library is. In a sanitizer build the
# release build's stands in its place; the instrumented one, where there is one, lies in tests/, for tests of its own.
function(flodea_in_sandboxes name)
  if(NOT FLODEA_SANITIZE)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY FLODEA_RELEASED_PROGRAMS ${name})
  set_property(GLOBAL APPEND PROPERTY FLODEA_RELEASED_PATHS ${ARGV1}${name})
  if(TARGET ${name})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  endif()
endfunction()

# At the end, when all have said so.
function(flodea_copy_released)
  get_property(programs GLOBAL PROPERTY FLODEA_RELEASED_PROGRAMS)
  get_property(paths GLOBAL PROPERTY FLODEA_RELEASED_PATHS)
  if(NOT programs)
    return()
  endif()
  set(released ${CMAKE_SOURCE_DIR}/build/release)
  set(copies)
  foreach(path ${paths})
    list(APPEND copies COMMAND ${CMAKE_COMMAND} -E copy_if_different ${released}/${path} ${CMAKE_BINARY_DIR}/${path})
  endforeach()
  add_custom_target(flodea-released ALL
    COMMAND ${CMAKE_COMMAND} --preset release -S ${CMAKE_SOURCE_DIR} > ${CMAKE_BINARY_DIR}/released.log
    COMMAND ${CMAKE_COMMAND} --build ${released} --target ${programs}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/agent/bin
    ${copies}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL VERBATIM COMMENT "The programs for sandboxes, of the release build")
  add_dependencies(flodea-all flodea-released)
endfunction()

# flodea_test(NAME [LABEL unit|integration|security] [TIMEOUT s] [LOCK what] SOURCES a_test.cc … LINK lib …): a Catch2 program run by ctest.
# Programs of their own rather than one big one: a crash names its folder. Of those with one LOCK one runs at a time:
# volumes: makes or counts loop devices over FUSE, which the host has in common. A folder whose programs have one thread each says
# set(FLODEA_SINGLE_THREADED ON): ThreadSanitizer has nothing to look for there, and its preset leaves the folder's tests out.
function(flodea_test name)
  cmake_parse_arguments(A "" "LABEL;TIMEOUT;LOCK" "SOURCES;LINK" ${ARGN})
  if(FLODEA_FUZZ OR (FLODEA_SINGLE_THREADED AND FLODEA_SANITIZE MATCHES "thread"))
    return()
  endif()
  if(NOT A_LABEL)
    set(A_LABEL unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  add_executable(${name} ${A_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE flodea_flags ${A_LINK} Catch2::Catch2WithMain)
  add_test(NAME ${name} COMMAND ${name} --colour-mode none)
  set_tests_properties(${name} PROPERTIES LABELS ${A_LABEL} TIMEOUT ${A_TIMEOUT} SKIP_RETURN_CODE 4 RESOURCE_LOCK "${A_LOCK}")
endfunction()

# flodea_fuzzer(NAME SOURCES x.cc LINK lib …): build/fuzz/fuzz_NAME; corpus in tests/fuzz/corpus/NAME.
function(flodea_fuzzer name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  if(NOT FLODEA_FUZZ)
    return()
  endif()
  add_executable(fuzz_${name} ${A_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE flodea_flags ${A_LINK})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(flodea-fuzzers fuzz_${name})
endfunction()
