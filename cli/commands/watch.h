// While a call waits for an agent: its transitions on the progress line, from the event stream.
#pragma once

#include <grpcpp/client_context.h>

#include <string>
#include <thread>

#include "cli/commands/session.h"

namespace flodea::cli {

class TransitionWatch {
 public:
  TransitionWatch(Session& session, Client& client,
                  std::string name);  // does nothing where no progress is shown
  ~TransitionWatch();

 private:
  void follow(Client& client, const std::string& name);

  Session& session_;
  grpc::ClientContext context_;
  std::thread thread_;
};

// Did the agent come to where the call meant it to be? An error says why not, and where to look.
Status check_arrived(const operators::v1::Agent& agent);

}  // namespace flodea::cli
