// flodea-unpack: the packages of one agent, from its lock file and the archives in its bundle, as a
// layer on fd 1. A job (supervisor/helper/job.cc): its working directory is the bundle, read-only,
// and there is nothing else; what it reads is hostile. It executes nothing of it and downloads
// nothing.
//
//   flodea-unpack [--python 3.11.2] [--max-bytes N] [--max-entries N] python|javascript LOCK
//
// Exit 0: the layer is whole, and one line on fd 2 says what it holds. Exit 1: one line on fd 2, of
// ≤ 400 bytes, says why not; what is on fd 1 is to be thrown away. Exit 2: wrong arguments.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/number.h"
#include "base/quantity.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "supervisor/unpacker/layer_stream.h"
#include "supervisor/unpacker/packages.h"

namespace flodea::unpacker {
namespace {

constexpr std::size_t kMaxLine = 400;  // with its newline

struct Arguments {
  std::string verb, lock;
  std::optional<Interpreter> interpreter;
  BundleLimits limits = kPackageLimits;
};

template <class Number>
bool take_limit(std::string_view text, Number& limit) {
  limit = parse_number<Number>(text).value_or(0);
  return limit > 0;
}

std::optional<Arguments> parse_arguments(std::span<char*> words) {
  Arguments arguments;
  for (; words.size() > 2; words = words.subspan(2)) {
    std::string_view option = words[0], value = words[1];
    if (option == "--python") {
      arguments.interpreter = Interpreter::parse(value);
      if (!arguments.interpreter) return std::nullopt;
    } else if (option == "--max-bytes") {
      if (!take_limit(value, arguments.limits.bytes)) return std::nullopt;
    } else if (option != "--max-entries" || !take_limit(value, arguments.limits.entries)) {
      return std::nullopt;
    }
  }
  if (words.size() != 2) return std::nullopt;
  arguments.verb = words[0];
  arguments.lock = words[1];
  bool python = arguments.verb == "python" && arguments.interpreter;
  if (!python && arguments.verb != "javascript") return std::nullopt;
  return arguments;
}

void say(std::string_view text) {
  std::string line = clean_line(text, kMaxLine - 1) + "\n";
  [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
}

Result<std::string> unpack(const Arguments& arguments) {
  auto bundle = TRY(adopt_fd(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open the bundle"));
  LayerStream stream(STDOUT_FILENO);
  Layer layer(stream, arguments.limits);
  Unpacked unpacked =
      arguments.verb == "python"
          ? TRY(unpack_python(bundle.get(), arguments.lock, *arguments.interpreter, layer))
          : TRY(unpack_javascript(bundle.get(), arguments.lock, layer));
  TRY(stream.flush());
  std::string done = fmt::format("{}: {} packages, {} files, {}", arguments.lock, unpacked.packages,
                                 layer.files(), format_bytes(layer.bytes()));
  if (unpacked.left_out.empty()) return done;
  return fmt::format("{}; left out: {}", done, fmt::join(unpacked.left_out, ", "));
}

int run(std::span<char*> words) {
  auto arguments = parse_arguments(words);
  if (!arguments) {
    say("usage: flodea-unpack [--max-bytes N] [--max-entries N] (--python 3.N[.N] python | "
        "javascript) LOCK");
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);  // a reader that has enough is told as an error
  ::signal(SIGXFSZ, SIG_IGN);  // and so is a limit of output
  ::setenv("TZ", "UTC0", 1);   // libc looks for no file of time zones
  auto done = unpack(*arguments);
  say(done ? *done : done.error().describe());
  return done ? 0 : 1;
}

}  // namespace
}  // namespace flodea::unpacker

// libarchive asks libc in which characters names are wanted, and translates with iconv where that
// is not what an archive has. In a sandbox without locales libc would say ASCII, and iconv would
// look for its modules in files. So the answer is this program's: UTF-8, as it is.
extern "C" char* nl_langinfo(nl_item) {
  static char codeset[] = "UTF-8";
  return codeset;
}

int main(int argc, char** argv) {
  return flodea::unpacker::run({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
