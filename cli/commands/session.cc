#include "cli/commands/session.h"

#include <fmt/format.h>

#include <cstdio>

namespace flodea::cli {

Result<Client*> Session::client() {
  if (!client_) client_ = TRY(Client::connect(socket));
  return client_.get();
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
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
