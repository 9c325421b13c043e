// Between flodea.root.v1 and domain types. Replies are checked as any input is: flodead is trusted,
// but what it relays may be wrong.
#pragma once

#include "flodea/root/v1/root.pb.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

Error error_of(const root::v1::Reply& reply);  // code, "step: message", remedy
HostFacts facts_of(const root::v1::HelloReply& reply);
StartedInstance started_of(const root::v1::StartReply& reply);
// kInternal unless exactly the four descriptors of StartReply came along.
Result<StartedInstance> started_with_fds(const root::v1::StartReply& reply,
                                         std::vector<UniqueFd>& fds);
Result<InstanceExit> exit_of(const root::v1::InstanceExited& event);
Result<ListedInstance> listed_of(const root::v1::Instance& instance);
root::v1::StartRequest encode_start(const StartRequest& request);
root::v1::RunJobRequest encode_job(const JobRequest& request);
Result<EndedJob> ended_job(const root::v1::RunJobReply& reply, std::vector<UniqueFd>& fds);

}  // namespace flodea::control
