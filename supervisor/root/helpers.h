// flodea-helper from flodead's side: one process per request, waited for by pidfd, killed at its
// deadline. Never blocks.
#pragma once

#include <memory>
#include <span>

#include "base/pid_fd.h"
#include "flodea/helper/v1/helper.pb.h"
#include "supervisor/root/async.h"

namespace flodea::root {

struct HelperReply {
  helper::v1::Reply reply;
  std::vector<UniqueFd> fds;
};

class Helpers {
 public:
  Helpers(EventLoop& loop, UniqueFd executable) : loop_(loop), executable_(std::move(executable)) {}

  // Started at once; the answer is awaited. `fds` stay the caller's and may be closed as soon as
  // this returns. An error of the verb is an error here, its message led by the step.
  OneShot<HelperReply> run(const std::string& verb, const helper::v1::Request& request,
                           std::span<const int> fds, Nanos deadline);
  std::size_t running() const { return running_; }

 private:
  struct Job;
  Status start(const std::shared_ptr<Job>& job, const helper::v1::Request& request,
               std::span<const int> fds, Nanos deadline);
  void on_reply(const std::shared_ptr<Job>& job);
  void on_exit(const std::shared_ptr<Job>& job);

  EventLoop& loop_;
  UniqueFd executable_;
  std::size_t running_ = 0;
};

}  // namespace flodea::root
