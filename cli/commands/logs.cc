#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/number.h"
#include "cli/client/follow.h"
#include "cli/commands/commands.h"
#include "cli/commands/since.h"
#include "cli/commands/targets.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

constexpr std::size_t kMaxFollowed = 32;  // of the streams that the supervisor serves at a time

struct LogsOptions {
  Targets targets;
  bool follow = false, timestamps = false;
  std::string since;
  std::optional<std::uint32_t> tail;
};

// Lines as they were; one that came in parts is put together again, one of Flodea's own is marked.
// Of several agents each begins with its agent's name.
class Printer {
 public:
  Printer(bool terminal, std::string prefix, bool timestamps)
      : terminal_(terminal), prefix_(std::move(prefix)), timestamps_(timestamps) {}
  void add(const pb::LogEntry& entry) {
    std::string text;
    if (open_ && entry.stream() != stream_) text += "\n";
    bool goes_on = open_ && entry.stream() == stream_;
    if (!goes_on) text += prefix_;
    if (!goes_on && timestamps_) text += time_text(entry.time()) + " ";
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
  std::string prefix_;
  bool timestamps_;
  bool open_ = false;
  std::string stream_;
};

pb::LogsRequest request_of(const LogsOptions& options, const std::string& name, Nanos now) {
  pb::LogsRequest request;
  request.set_name(name);
  if (options.tail) request.set_tail(*options.tail);
  if (!options.since.empty()) *request.mutable_since() = since_time(options.since, now);
  return request;
}

// The last lines so far. What comes after them is asked for from there, so that a connection which
// is lost before anything came loses nothing.
Status take_tail(Client& client, pb::LogsRequest& request,
                 const std::function<bool(const pb::LogEntry&)>& take) {
  bool shown = request.tail() > 0;
  if (!shown) request.set_tail(1);
  grpc::ClientContext context;
  auto reader = client.stub().Logs(&context, request);
  pb::LogEntry entry;
  while (reader->Read(&entry)) {
    if (shown) take(entry);
    request.set_cursor(entry.cursor());
  }
  grpc::Status ended = reader->Finish();
  const bool lost =
      Reconnect::is_loss(ended);  // then the rest of them is asked for like the others
  if (!ended.ok() && !lost) return tl::unexpected(error_of(ended, client.socket()));
  if (!request.cursor().empty() || !lost) request.clear_tail();
  if (request.has_tail() && !shown) request.set_tail(0);
  return {};
}

// One agent's log, to its end or for as long as it is followed.
Status print_log(Session& session, const LogsOptions& options, const std::string& name,
                 std::mutex& output, bool alone) {
  pb::LogsRequest request = request_of(options, name, session.now());
  Printer printer(::isatty(STDOUT_FILENO) == 1, alone ? "" : name + " | ", options.timestamps);
  int opened = 0;
  auto open = [&](Client& client, grpc::ClientContext& context) {
    ++opened;
    return client.stub().Logs(&context, request);
  };
  auto take = [&](const pb::LogEntry& entry) {
    request.set_cursor(entry.cursor());
    std::lock_guard lock(output);
    if (session.table())
      printer.add(entry);
    else
      print(render_item(entry, session.format));
    return !output_lost();
  };
  auto client = TRY(session.own_client());
  grpc::Status ended;
  if (options.follow) {
    if (options.tail) TRY(take_tail(*client, request, take));
    request.set_follow(true);
    ended = TRY(follow<pb::LogEntry>(std::move(client), open, take));
  } else {
    grpc::ClientContext context;
    auto reader = open(*client, context);
    pb::LogEntry entry;
    while (reader->Read(&entry)) take(entry);
    ended = reader->Finish();
  }
  // Removed while the supervisor was away: the log ends, as it does when it is there.
  if (opened > 1 && ended.error_code() == grpc::StatusCode::NOT_FOUND) return {};
  if (!ended.ok()) return tl::unexpected(error_of(ended, session.socket));
  return {};
}

Status follow_all(Session& session, const LogsOptions& options,
                  const std::vector<std::string>& names) {
  if (names.size() > kMaxFollowed) {
    auto error =
        fail(Code::kResourceExhausted, fmt::format("{} logs cannot be followed at a time, {} can",
                                                   names.size(), kMaxFollowed))
            .value();
    return tl::unexpected(std::move(error).with_remedy("select fewer agents"));
  }
  std::mutex output;
  std::vector<Status> ended(names.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < names.size(); ++i) {
    threads.emplace_back(
        [&, i] { ended[i] = print_log(session, options, names[i], output, false); });
  }
  for (std::thread& thread : threads) thread.join();
  for (Status& status : ended) TRY(std::move(status));
  return {};
}

Status logs(Session& session, const LogsOptions& options) {
  auto names = TRY(names_of(session, options.targets));
  bool alone = options.targets.names.size() == 1;
  if (options.follow && !alone) return follow_all(session, options, names);
  std::mutex output;
  for (const std::string& name : names) TRY(print_log(session, options, name, output, alone));
  return {};
}

}  // namespace

void add_logs(CLI::App& app, Session& session, Action& action) {
  auto options = std::make_shared<LogsOptions>();
  auto* command = app.add_subcommand("logs", "Print agents' logs");
  add_targets(*command, options->targets);
  command->add_flag(
      "-f,--follow", options->follow,
      "Go on with what comes, until the agent is removed, also after a restart of the supervisor");
  command->add_flag("-t,--timestamps", options->timestamps,
                    "Each line begins with its time (RFC 3339)");
  command
      ->add_option("--since", options->since,
                   "Only lines since then: a duration back (10m), or a time (RFC 3339)")
      ->type_name("T")
      ->check(check_since);
  command->add_option("--tail", options->tail, "Only the last N lines")
      ->type_name("N")
      ->check(check_number<std::uint32_t>);
  command->callback([&session, &action, command, options] {
    if (options->targets.names.empty() && command->count("--selector") == 0)
      throw CLI::RequiredError("NAME or -l");
    action = [&session, options] { return logs(session, *options); };
  });
}

}  // namespace flodea::cli
