#include "supervisor/control/operators/operators_service.h"

#include <utility>

#include "supervisor/control/operators/deferred_reply.h"
#include "supervisor/control/operators/event_codec.h"
#include "supervisor/control/operators/feeds.h"
#include "supervisor/control/operators/list_codec.h"
#include "supervisor/control/operators/node_codec.h"
#include "supervisor/control/operators/revision_codec.h"
#include "supervisor/control/operators/upload_stream.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

constexpr std::uint32_t kTransitions = 10;  // that Get tells

pb::ApplyResponse encode_outcome(const ApplyOutcome& outcome) {
  pb::ApplyResponse wire;
  *wire.mutable_agent() = encode_agent(outcome.agent);
  switch (outcome.kind) {
    case ApplyOutcome::Kind::kCreated:
      wire.set_outcome(pb::ApplyResponse::OUTCOME_CREATED);
      break;
    case ApplyOutcome::Kind::kChanged:
      wire.set_outcome(pb::ApplyResponse::OUTCOME_CHANGED);
      break;
    case ApplyOutcome::Kind::kUnchanged:
      wire.set_outcome(pb::ApplyResponse::OUTCOME_UNCHANGED);
      break;
  }
  return wire;
}

pb::RemoveResponse encode_receipt(const RemovalReceipt& receipt) {
  pb::RemoveResponse wire;
  wire.set_agent_id(receipt.id.text());
  wire.set_key_digest(receipt.key_digest);
  *wire.mutable_destroyed() = encode_time(receipt.destroyed);
  return wire;
}

// A lifecycle callback that answers `reply` through `encode`.
template <class T, class Response, class Encode>
Lifecycle::Callback<T> settling(std::shared_ptr<DeferredReply<Response>> reply, Encode encode) {
  return [reply = std::move(reply), encode](Result<T> result) {
    reply->settle(std::move(result), encode);
  };
}

Lifecycle::Callback<AgentView> with_agent(std::shared_ptr<DeferredReply<pb::Agent>> reply) {
  return settling<AgentView>(std::move(reply), encode_agent);
}

void add_transitions(const EventLog& events, const AgentView& view, pb::Agent& agent) {
  EventQuery last{.filter = {.agents = {view.manifest.name}, .kinds = {"agent.state"}},
                  .since = view.created,
                  .tail = kTransitions};
  auto found = events.query(last);
  if (!found) return;  // the agent itself can be told all the same
  for (const Event& event : *found) *agent.add_transitions() = encode_event(event);
}

template <class Reply>
StillWanted still_wanted(const std::shared_ptr<Reply>& reply) {
  return [reply] { return !reply->settled(); };
}

// The name in a request, or a refusal already given.
template <class Response>
bool accept_name(const std::string& name, DeferredReply<Response>& reply) {
  auto checked = check_agent_name(name);
  if (!checked) reply.refuse(std::move(checked).error().with_field("name"));
  return checked.has_value();
}

}  // namespace

std::shared_ptr<void> Slots::take() {
  if (count_->fetch_add(1) >= limit_) {
    count_->fetch_sub(1);
    return nullptr;
  }
  return {count_.get(), [count = count_](void*) { count->fetch_sub(1); }};
}

OperatorsService::OperatorsService(OperatorsBackends backends, const Callers& callers,
                                   SerialExecutor& executor, SpecBounds bounds, std::string version)
    : backends_(backends),
      callers_(callers),
      executor_(executor),
      bounds_(std::move(bounds)),
      version_(std::move(version)),
      checks_(executor.make_strand()),
      looks_(executor.make_strand()) {}

template <class Reply>
Asked OperatorsService::asked_by(const grpc::CallbackServerContext* context, bool wait,
                                 const std::shared_ptr<Reply>& reply) const {
  return {wait, callers_.who(context->peer()), still_wanted(reply)};
}

grpc::ServerUnaryReactor* OperatorsService::Apply(grpc::CallbackServerContext* context,
                                                  const pb::ApplyRequest* request,
                                                  pb::ApplyResponse* response) {
  auto reply = DeferredReply<pb::ApplyResponse>::make(response);
  auto decoded = decode_apply(*request, bounds_);
  if (!decoded) {
    reply->refuse(decoded.error());
    return reply.get();
  }
  ApplyOptions options{
      .start = request->start(), .wait = request->wait(), .by = callers_.who(context->peer())};
  checks_->post(
      [this, reply, manifest = std::move(*decoded), options = std::move(options)]() mutable {
        auto checked = backends_.check_spec(manifest.spec);
        if (!checked) return reply->refuse(checked.error());
        backends_.lifecycle.apply(std::move(manifest), std::move(options),
                                  settling<ApplyOutcome>(reply, encode_outcome));
      });
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Plan(grpc::CallbackServerContext*,
                                                 const pb::PlanRequest* request,
                                                 pb::PlanResponse* response) {
  auto reply = DeferredReply<pb::PlanResponse>::make(response);
  auto decoded = decode_plan(*request, bounds_);
  if (!decoded) {
    reply->refuse(decoded.error());
    return reply.get();
  }
  checks_->post([this, reply, manifests = std::move(*decoded)]() mutable {
    for (std::size_t i = 0; i < manifests.size(); ++i) {
      auto checked = backends_.check_spec(manifests[i].spec);
      if (!checked) return reply->refuse(of_manifest(std::move(checked).error(), i));
    }
    auto encode = [](const std::vector<ApplyOutcome>& outcomes) {
      pb::PlanResponse wire;
      for (const ApplyOutcome& outcome : outcomes) *wire.add_outcomes() = encode_outcome(outcome);
      return wire;
    };
    backends_.lifecycle.plan(std::move(manifests),
                             settling<std::vector<ApplyOutcome>>(reply, encode));
  });
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Await(grpc::CallbackServerContext* context,
                                                  const pb::AwaitRequest* request,
                                                  pb::Agent* response) {
  auto reply = DeferredReply<pb::Agent>::make(response);
  if (accept_name(request->name(), *reply))
    backends_.lifecycle.await(request->name(), request->revision(), asked_by(context, true, reply),
                              with_agent(reply));
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::List(grpc::CallbackServerContext*,
                                                 const pb::ListRequest* request,
                                                 pb::ListResponse* response) {
  auto reply = DeferredReply<pb::ListResponse>::make(response);
  auto checked = check_list_request(*request);
  if (!checked) {
    reply->refuse(checked.error());
    return reply.get();
  }
  auto encode = [request = *request](std::vector<AgentView>& agents) {
    return encode_list_page(std::move(agents), request);
  };
  backends_.lifecycle.list(settling<std::vector<AgentView>>(reply, encode));
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Get(grpc::CallbackServerContext*,
                                                const pb::GetRequest* request,
                                                pb::Agent* response) {
  auto reply = DeferredReply<pb::Agent>::make(response);
  if (!accept_name(request->name(), *reply)) return reply.get();
  backends_.lifecycle.get(request->name(), [this, reply](Result<AgentView> view) {
    if (!view) return reply->refuse(view.error());
    looks_->post([this, reply, view = std::move(*view)] {
      pb::Agent agent = encode_agent(view);
      add_transitions(backends_.events, view, agent);
      reply->answer(std::move(agent));
    });
  });
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Start(grpc::CallbackServerContext* context,
                                                  const pb::StartRequest* request,
                                                  pb::Agent* response) {
  auto reply = DeferredReply<pb::Agent>::make(response);
  if (accept_name(request->name(), *reply))
    backends_.lifecycle.start(request->name(), asked_by(context, request->wait(), reply),
                              with_agent(reply));
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Stop(grpc::CallbackServerContext* context,
                                                 const pb::StopRequest* request,
                                                 pb::Agent* response) {
  auto reply = DeferredReply<pb::Agent>::make(response);
  if (accept_name(request->name(), *reply))
    backends_.lifecycle.stop(request->name(), asked_by(context, request->wait(), reply),
                             with_agent(reply));
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Restart(grpc::CallbackServerContext* context,
                                                    const pb::RestartRequest* request,
                                                    pb::Agent* response) {
  auto reply = DeferredReply<pb::Agent>::make(response);
  if (accept_name(request->name(), *reply))
    backends_.lifecycle.restart(request->name(), asked_by(context, request->wait(), reply),
                                with_agent(reply));
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Remove(grpc::CallbackServerContext* context,
                                                   const pb::RemoveRequest* request,
                                                   pb::RemoveResponse* response) {
  auto reply = DeferredReply<pb::RemoveResponse>::make(response);
  if (accept_name(request->name(), *reply)) {
    backends_.lifecycle.remove(request->name(), request->keep_data(), callers_.who(context->peer()),
                               settling<RemovalReceipt>(reply, encode_receipt));
  }
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::ListRevisions(grpc::CallbackServerContext*,
                                                          const pb::ListRevisionsRequest* request,
                                                          pb::ListRevisionsResponse* response) {
  auto reply = DeferredReply<pb::ListRevisionsResponse>::make(response);
  if (!accept_name(request->name(), *reply)) return reply.get();
  backends_.lifecycle.revisions(request->name(), [reply, wanted = request->revision()](
                                                     Result<std::vector<RevisionView>> all) {
    if (!all) return reply->refuse(all.error());
    auto encoded = encode_revisions(*all, wanted);
    if (!encoded) return reply->refuse(encoded.error());
    reply->answer(std::move(*encoded));
  });
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Rollback(grpc::CallbackServerContext* context,
                                                     const pb::RollbackRequest* request,
                                                     pb::ApplyResponse* response) {
  auto reply = DeferredReply<pb::ApplyResponse>::make(response);
  if (accept_name(request->name(), *reply)) {
    backends_.lifecycle.rollback({.name = request->name(), .revision = request->revision()},
                                 asked_by(context, request->wait(), reply),
                                 settling<ApplyOutcome>(reply, encode_outcome));
  }
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::GetNode(grpc::CallbackServerContext*,
                                                    const pb::GetNodeRequest*, pb::Node* response) {
  auto reply = DeferredReply<pb::Node>::make(response);
  Lifecycle& lifecycle = backends_.lifecycle;
  lifecycle.node([&lifecycle, reply, version = version_](Result<NodeStatus> node) {
    if (!node) return reply->refuse(node.error());
    lifecycle.list(settling<std::vector<AgentView>>(
        reply, [node = std::move(*node), version](const std::vector<AgentView>& agents) {
          return encode_node(node, agents, version);
        }));
  });
  return reply.get();
}

grpc::ServerUnaryReactor* OperatorsService::Reload(grpc::CallbackServerContext*,
                                                   const pb::ReloadRequest*,
                                                   pb::ReloadResponse* response) {
  auto reply = DeferredReply<pb::ReloadResponse>::make(response);
  backends_.reload([reply](Status refused) {
    if (!refused) return reply->refuse(refused.error());
    reply->answer({});
  });
  return reply.get();
}

grpc::ServerWriteReactor<pb::LogEntry>* OperatorsService::Logs(grpc::CallbackServerContext*,
                                                               const pb::LogsRequest* request) {
  return start_log_feed(*request, backends_, executor_.make_strand(), streams_.take()).get();
}

grpc::ServerWriteReactor<pb::Event>* OperatorsService::Events(grpc::CallbackServerContext*,
                                                              const pb::EventsRequest* request) {
  return start_event_feed(*request, backends_.events, executor_.make_strand(), streams_.take())
      .get();
}

grpc::ServerWriteReactor<pb::AgentChange>* OperatorsService::WatchAgents(
    grpc::CallbackServerContext*, const pb::WatchAgentsRequest* request) {
  return start_agent_feed(*request, backends_, executor_.make_strand(), streams_.take()).get();
}

grpc::ServerReadReactor<pb::PutBundleRequest>* OperatorsService::PutBundle(
    grpc::CallbackServerContext* context, pb::PutBundleResponse* response) {
  return UploadStream::make(backends_.bundles, executor_.make_strand(), uploads_.take(), context,
                            response)
      .get();
}

}  // namespace flodea::control
