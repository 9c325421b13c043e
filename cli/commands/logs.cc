#include <unistd.h>

#include <memory>
#include <optional>

#include "cli/commands/commands.h"
#include "cli/commands/since.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

struct LogsOptions {
  std::string name;
  bool follow = false;
  std::string since;
  std::optional<std::uint32_t> tail;
};

// Lines as they were; one that came in parts is put together again, one of Flodea's own is marked.
class Printer {
 public:
  explicit Printer(bool terminal) : terminal_(terminal) {}
  void add(const pb::LogEntry& entry) {
    std::string text;
    if (open_ && entry.stream() != stream_) text += "\n";
    bool goes_on = open_ && entry.stream() == stream_;
    if (!goes_on && entry.stream() == "system") text += "[flodea] ";
    // On a terminal the agent's bytes must not become commands to it; a pipe gets them as they are.
    text += terminal_ ? printable(entry.line()) : entry.line();
    if (!entry.partial()) text += "\n";
    open_ = entry.partial();
    stream_ = entry.stream();
    print(text);
  }

 private:
  bool terminal_;
  bool open_ = false;
  std::string stream_;
};

pb::LogsRequest request_of(const LogsOptions& options, Nanos now) {
  pb::LogsRequest request;
  request.set_name(options.name);
  request.set_follow(options.follow);
  if (options.tail) request.set_tail(*options.tail);
  if (!options.since.empty()) *request.mutable_since() = since_time(options.since, now);
  return request;
}

Status logs(Session& session, const LogsOptions& options) {
  Client* client = TRY(session.client());
  grpc::ClientContext context;
  auto reader = client->stub().Logs(&context, request_of(options, session.now()));
  Printer printer(::isatty(STDOUT_FILENO) == 1);
  pb::LogEntry entry;
  while (reader->Read(&entry)) {
    if (session.table())
      printer.add(entry);
    else
      print(render_item(entry, session.format));
  }
  grpc::Status status = reader->Finish();
  if (!status.ok()) return tl::unexpected(error_of(status, session.socket));
  return {};
}

}  // namespace

void add_logs(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<LogsOptions>();
  auto* command = app.add_subcommand("logs", "Print an agent's log");
  command->add_option("name", options->name, "The agent")->required()->type_name("NAME");
  command->add_flag("-f,--follow", options->follow,
                    "Go on with what comes, until the agent is removed");
  command
      ->add_option("--since", options->since,
                   "Only lines since then: a duration back (10m), or a time (RFC 3339)")
      ->type_name("T")
      ->check(check_since);
  command->add_option("--tail", options->tail, "Only the last N lines")->type_name("N");
  command->callback([&session, &action, options] {
    action = [&session, options] { return logs(session, *options); };
  });
}

}  // namespace flodea::cli
