// flodea-helper from flodead's side: one process per request, waited for by pidfd, killed at its
// deadline. Never blocks.
#pragma once

#include <memory>
#include <set>
#include <span>

#include "base/cgroup.h"
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
  ~Helpers();
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  // Started at once; the answer is awaited. `fds` stay the caller's and may be closed as soon as
  // this returns. An error of the verb is an error here, its message led by the step. At the
  // deadline the helper is killed; what it had answered by then counts.
  OneShot<HelperReply> run(const std::string& verb, const helper::v1::Request& request,
                           std::span<const int> fds, Nanos deadline);
  // The same in a cgroup, with all it starts. `group` must live until the answer is there.
  OneShot<HelperReply> run_in(const Cgroup& group, const std::string& verb,
                              const helper::v1::Request& request, std::span<const int> fds,
                              Nanos deadline);

  // Closes descriptors of an agent's volume somewhere else: the last close of a mount waits for the
  // vault, which may be dead until this process starts it again.
  void discard(std::vector<UniqueFd> fds);

  // A `prepare` helper that has been started ahead of its request takes a start's way off its
  // critical path. One stands ready from here on; the next is made a while after it was taken.
  void keep_one_ready();
  void dismiss_ready();

  // What runs besides the one that stands ready, in words; empty: nothing, and nothing waits to be
  // discarded.
  std::string under_way() const;

 private:
  struct Job;
  Result<std::shared_ptr<Job>> spawn(const std::string& verb, std::string_view request,
                                     std::span<const int> fds, const Cgroup* group = nullptr);
  Result<std::shared_ptr<Job>> ask(const std::string& verb, const helper::v1::Request& request,
                                   std::span<const int> fds);
  OneShot<HelperReply> answer_of(const std::string& verb, Result<std::shared_ptr<Job>> job,
                                 Nanos deadline);
  Status follow(const std::shared_ptr<Job>& job, Nanos deadline);
  void on_reply(const std::shared_ptr<Job>& job);
  void on_exit(const std::shared_ptr<Job>& job);

  EventLoop& loop_;
  UniqueFd executable_;
  std::shared_ptr<Job> ready_;
  std::set<std::shared_ptr<Job>> running_;  // with the ready one
  std::vector<UniqueFd> undiscarded_;       // no process could be had for them
};

}  // namespace flodea::root
