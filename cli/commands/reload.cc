// reload: the supervisor executes itself again; agents run on.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;
using Stub = pb::Operators::Stub;

constexpr Nanos kPatience = std::chrono::seconds(60);

// Lives of flodead whose agents the present one took over.
std::uint64_t lives(const pb::Node& node) {
  for (const pb::Service& service : node.services()) {
    if (service.name() == "flodead") return service.restarts();
  }
  return 0;
}

// The socket listens all the time: a call waits there for the new supervisor. One that is cut off
// is asked again.
Result<pb::Node> wait_for_epoch_after(Session& session, std::uint64_t epoch) {
  Nanos end = session.clock.monotonic() + kPatience;
  for (;;) {
    auto client = TRY(Client::connect(session.socket));
    Nanos left = end - session.clock.monotonic();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + left);
    pb::Node node;
    grpc::Status status = client->stub().GetNode(&context, {}, &node);
    if (status.ok() && node.epoch() > epoch) return node;
    if (session.clock.monotonic() >= end || status.error_code() == grpc::DEADLINE_EXCEEDED)
      return fail(Code::kDeadlineExceeded,
                  "the supervisor ended for a reload, and does not answer again");
  }
}

void print_outcome(const Session& session, const pb::Node& node) {
  if (!session.table()) {
    nlohmann::ordered_json out{{"version", node.version()}, {"epoch", node.epoch()}};
    print(render(out, session.format));
    return;
  }
  print(fmt::format("reloaded: version {}, epoch {}\n", node.version(), node.epoch()));
}

Status reload(Session& session, bool wait) {
  Client* client = TRY(session.client());
  auto before = TRY(client->call(&Stub::GetNode, pb::GetNodeRequest()));
  auto asked = client->call(&Stub::Reload, pb::ReloadRequest());
  if (!asked && !is_unreachable(asked.error())) return tl::unexpected(std::move(asked).error());
  if (!wait) {
    if (session.table())
      print("the supervisor begins anew; flodea reload --wait says when it has\n");
    return {};
  }
  auto after = TRY(wait_for_epoch_after(session, before.epoch()));
  if (lives(after) <= lives(before)) {
    auto error =
        fail(Code::kAborted, "flodea-control ended before flodead was reloaded, and is up again")
            .value();
    return tl::unexpected(std::move(error).with_remedy("see flodea events, then reload again"));
  }
  print_outcome(session, after);
  return {};
}

}  // namespace

void add_reload(CLI::App& app, Session& session, Action& action) {
  auto wait = std::make_shared<bool>(false);
  auto* command = app.add_subcommand(
      "reload", "Have the supervisor execute itself again from disk; agents run on");
  command->add_flag("--wait", *wait, "Return once it answers again; print version and epoch");
  command->callback(
      [&session, &action, wait] { action = [&session, wait] { return reload(session, *wait); }; });
}

}  // namespace flodea::cli
