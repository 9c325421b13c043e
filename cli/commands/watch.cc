#include "cli/commands/watch.h"

#include <fmt/format.h>

#include <utility>

namespace flodea::cli {

namespace pb = operators::v1;

TransitionWatch::TransitionWatch(Session& session, Client& client, std::string name)
    : session_(session) {
  if (!session.progress.shown()) return;
  session.progress.show("waiting for " + name);
  thread_ = std::thread([this, &client, name = std::move(name)] { follow(client, name); });
}

TransitionWatch::~TransitionWatch() {
  context_.TryCancel();
  if (thread_.joinable()) thread_.join();
  session_.progress.clear();
}

void TransitionWatch::follow(Client& client, const std::string& name) {
  pb::EventsRequest request;
  request.set_follow(true);
  request.set_tail(0);
  request.set_name(name);
  auto reader = client.stub().Events(&context_, request);
  pb::Event event;
  while (reader->Read(&event)) {
    if (!event.to().empty())
      session_.progress.show(fmt::format("{}: {}", name, printable(event.to())));
  }
  // Whatever ended it, the call that is waited for says what matters.
  (void)reader->Finish();
}

Status check_arrived(const pb::Agent& agent) {
  if (agent.state() != pb::STATE_FAILED && agent.state() != pb::STATE_BACKOFF) return {};
  std::string why = why_text(agent.reason(), agent.message());
  auto error =
      fail(Code::kAborted, fmt::format("{} is in state {}{}{}", agent.name(),
                                       state_word(agent.state()), why.empty() ? "" : ": ", why))
          .value();
  return tl::unexpected(std::move(error).with_remedy("see: flodea logs " + agent.name()));
}

}  // namespace flodea::cli
