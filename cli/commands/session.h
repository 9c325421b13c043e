// What every command works with: where the supervisor is, how to print, the connection once it is
// needed.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cli/client/client.h"
#include "cli/output/output.h"
#include "cli/output/progress.h"

namespace flodea::cli {

// Exit statuses, as documented in docs/cli.md.
enum class Exit : int { kDone = 0, kRefused = 1, kUsage = 2, kUnreachable = 3 };

class Session {
 public:
  std::string socket = kDefaultSocket;
  Format format = Format::kTable;
  Progress progress;
  SystemClock clock;
  Exit exit = Exit::kDone;            // of a command without error
  Exit least_error = Exit::kRefused;  // of one with an error, at least

  // Connects when first asked.
  Result<Client*> client();
  // A connection of its own, for a stream that may have to connect again.
  Result<std::unique_ptr<Client>> own_client() const { return Client::connect(socket); }
  void renew(std::unique_ptr<Client> client) { client_ = std::move(client); }
  Nanos now() const { return clock.wall(); }
  bool table() const { return format == Format::kTable; }

 private:
  std::unique_ptr<Client> client_;
};

// Set by the subcommand that the command line names.
using Action = std::function<Status()>;

void print(std::string_view text);  // to stdout
bool output_lost();                 // not all of it could be written (a full disk)
// The exit status, once all is printed. Where some of it was lost it says so, and it is not 0.
int finish(int status);
void say_error(const Error& error);  // one line to stderr
Exit exit_of(const Error& error);

}  // namespace flodea::cli
