#include "runtimes/wasm/host/options.h"

#include <optional>

#include "base/number.h"

namespace flodea::wasm {

const char* const kHelp =
    "Usage: flodea-wasm --memory BYTES [--tables N] [--name NAME] CODE_FILE [ARGUMENT]…\n"
    "       flodea-wasm --version\n"
    "  --memory  what the module's memory may grow to\n"
    "  --tables  elements that each of its tables may have; default 100000\n"
    "  --name    the module's argv[0]; default CODE_FILE\n"
    "Exit status: the module's, 0 to 125; 126 the file cannot be run; 134 a trap; 137 out of "
    "memory.\n";

namespace {

template <class Number>
Result<Number> read_number(std::string_view option, std::string_view text) {
  if (auto value = parse_number<Number>(text)) return *value;
  return fail(Code::kInvalidArgument,
              std::string(option) + " wants a number, not \"" + std::string(text) + "\"");
}

Status read_option(Options& options, std::string_view option, std::string_view value) {
  if (option == "--memory")
    options.memory = TRY(read_number<std::uint64_t>(option, value));
  else if (option == "--tables")
    options.table = TRY(read_number<std::uint32_t>(option, value));
  else if (option == "--name")
    options.arguments = {std::string(value)};
  else
    return fail(Code::kInvalidArgument, "unknown option " + std::string(option));
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string_view>& words) {
  Options options;
  std::size_t at = 0;
  for (; at < words.size() && words[at].starts_with("--"); at += 2) {
    options.help = words[at] == "--help";
    options.version = words[at] == "--version";
    if (options.help || options.version) return options;
    if (at + 1 == words.size())
      return fail(Code::kInvalidArgument, std::string(words[at]) + " wants a value");
    TRY(read_option(options, words[at], words[at + 1]));
  }
  if (options.memory == 0) return fail(Code::kInvalidArgument, "--memory BYTES is wanted");
  if (at == words.size()) return fail(Code::kInvalidArgument, "CODE_FILE is wanted");
  options.code = words[at++];
  if (options.arguments.empty()) options.arguments = {options.code};
  options.arguments.insert(options.arguments.end(), words.begin() + static_cast<std::ptrdiff_t>(at),
                           words.end());
  return options;
}

}  // namespace flodea::wasm
