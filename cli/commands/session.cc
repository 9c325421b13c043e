#include "cli/commands/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <iostream>

namespace flodea::cli {

Result<Client*> Session::client() {
  if (!client_) client_ = TRY(Client::connect(socket));
  return client_.get();
}

namespace {

// Followers print from several threads.
std::atomic<int> first_write_error = 0;

void remember_write_error() {
  int none = 0;
  first_write_error.compare_exchange_strong(none, errno == 0 ? EIO : errno);
}

}  // namespace

void print(std::string_view text) {
  bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) remember_write_error();
}

bool output_lost() { return first_write_error != 0; }

int finish(int status) {
  std::cout.flush();  // CLI11's, which prints the help
  if (!std::cout) remember_write_error();
  if (!output_lost()) return status;
  say_error(fail_errno("write the output", first_write_error).value());
  return std::max(status, static_cast<int>(Exit::kRefused));
}

void say_error(const Error& error) {
  std::string text = "flodea: " + printable(error.message);
  bool named = error.field.empty() || error.message.find(error.field) != std::string::npos;
  if (!named) text += fmt::format(" (field {})", printable(error.field));
  if (!error.remedy.empty()) text += "; " + printable(error.remedy);
  text += "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

Exit exit_of(const Error& error) {
  return is_unreachable(error) ? Exit::kUnreachable : Exit::kRefused;
}

}  // namespace flodea::cli
