#include "runtimes/wasm/compiler/module_checks.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::wasm;
using namespace std::string_literals;

namespace {

// Sections of a module in the binary format. All lengths here are below 128: one byte.
std::string counted(const std::string& bytes) { return std::string(1, char(bytes.size())) + bytes; }
std::string section(char id, const std::string& body) { return id + counted(body); }
std::string import(const std::string& module, const std::string& name, const std::string& kind) {
  return section(2, "\1" + counted(module) + counted(name) + kind);
}

const std::string kPreamble = "\0asm\1\0\0\0"s;
const std::string kTypes = section(1, "\2\x60\0\0\x60\1\x7f\1\x7f"s);  // () -> (), (i32) -> i32
const std::string kFunctions = section(3, "\1\0"s);
const std::string kMemory = section(5, "\1\0\2"s);  // two pages
const std::string kCode = section(10, "\1\2\0\x0b"s);

std::string exports(const std::string& start, const std::string& memory = "memory",
                    char index = 0) {
  return section(7, "\2" + counted(start) + "\0"s + index + counted(memory) + "\2\0"s);
}

const std::string kCommand = kPreamble + kTypes + kFunctions + kMemory + exports("_start") + kCode;

std::string refusal(const std::string& module, std::uint64_t memory = 1 << 20) {
  Status status = check_module(module, memory);
  return status ? "" : status.error().describe();
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos && text.find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("a command with a memory that fits is taken") {
  CHECK(refusal(kCommand).empty());
  CHECK(refusal(kCommand, 2 * 65536).empty());
}

TEST_CASE("what is no core module is refused by its first bytes") {
  CHECK(says(refusal(""), "is empty"));
  CHECK(says(refusal("\x7f"
                     "ELF\2\1\1\0"s),
             "does not begin with \\0asm"));
  CHECK(says(refusal("(module)"), "name a compiled .wasm file"));
  CHECK(says(refusal("\0asm\x0d\0\1\0"s), "component"));
  CHECK(says(refusal("\0asm\2\0\0\0"s), "another version"));
}

TEST_CASE("a module cut off anywhere is refused") {
  for (std::size_t size = 0; size + kCode.size() < kCommand.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(refusal(kCommand.substr(0, size)).empty());
  }
}

TEST_CASE("a module past the limit is refused by its size") {
  CHECK(says(refusal(std::string(kLongestModule + 1, '\0')), "larger than 33554432 bytes"));
}

TEST_CASE("a memory larger than the manifest leaves is refused, with both figures") {
  CHECK(says(refusal(kCommand, 65536), "131072 bytes of memory, but its manifest leaves it 65536"));
}

TEST_CASE("memories that the engine is not set up for are refused") {
  auto with = [](const std::string& memory) {
    return kPreamble + kTypes + kFunctions + memory + exports("_start") + kCode;
  };
  CHECK(says(refusal(with(section(5, "\2\0\1\0\1"s))), "has 2 memories"));
  CHECK(says(refusal(with(section(5, "\1\3\1\1"s))), "shared"));
  CHECK(says(refusal(with(section(5, "\1\4\1"s))), "64 bits"));
}

TEST_CASE("an import that does not exist is named") {
  auto with = [](const std::string& imported) {
    return kPreamble + kTypes + imported + kFunctions + kMemory + exports("_start", "memory", 1) +
           kCode;
  };
  std::string function = "\0\1"s;  // (i32) -> i32
  CHECK(
      says(refusal(with(import("env", "system", function))), "env.system, which Flodea does not"));
  CHECK(says(refusal(with(import("env", "abort", function))), "wasi-shim"));
  CHECK(says(refusal(with(import("flodea", "cal", function))), "did you mean flodea.call?"));
  CHECK(says(refusal(with(import("wasi_snapshot_preview1", "sock_open", function))), "sock_open"));
  CHECK(says(refusal(with(import("env", "memory", "\2\0\1"s))), "--import-memory"));
  CHECK(says(refusal(with(import("env", "table", "\1\x70\0\1"s))), "no function"));
  CHECK(says(refusal(with(import("a\nb\x1b[2J", "x", function))), "imports a b [2J.x"));
  CHECK(refusal(with(import("flodea", "close", function))).empty());
}

TEST_CASE("an import of another type than Flodea's is refused, with both types") {
  std::string module = kPreamble + kTypes + import("flodea", "call", "\0\1"s) + kFunctions +
                       kMemory + exports("_start", "memory", 1) + kCode;
  CHECK(says(refusal(module), "as (i32) -> i32, but it is (i32, i32, i32, i32) -> i32"));
}

TEST_CASE("what is no WASI command is refused") {
  auto with = [](const std::string& exported) {
    return kPreamble + kTypes + kFunctions + kMemory + exported + kCode;
  };
  CHECK(says(refusal(with("")), "no function _start"));
  CHECK(says(refusal(with(exports("main"))), "no function _start"));
  CHECK(says(refusal(with(exports("_initialize"))), "reactor"));
  CHECK(says(refusal(with(exports("_start", "heap"))), "no memory named \"memory\""));
  CHECK(says(refusal(with(exports("_start", "memory", 7))), "function 7, which does not exist"));
}

TEST_CASE("a _start that takes or returns something is refused") {
  std::string module =
      kPreamble + kTypes + section(3, "\1\1"s) + kMemory + exports("_start") + kCode;
  CHECK(says(refusal(module), "_start is (i32) -> i32"));
}

TEST_CASE("numbers past their width are refused") {
  std::string endless(12, '\x80');
  CHECK(says(refusal(kPreamble + "\1" + endless), "more than 32 bits"));
  CHECK(says(refusal(kPreamble + "\1\xff\xff\xff\xff\x7f"), "more than 32 bits"));
  CHECK(says(refusal(kPreamble + "\1\xff\xff\xff\xff\x0f"), "ends early"));
}
