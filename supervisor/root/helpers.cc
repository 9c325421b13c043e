#include "supervisor/root/helpers.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>

#include "base/fd_layout.h"
#include "base/fd_message.h"
#include "supervisor/root/process.h"

namespace flodea::root {

struct Helpers::Job {
  std::string verb;
  OneShot<HelperReply> done;
  PidFd process;
  UniqueFd socket;
  EventLoop::TimerId timer = 0;
  bool killed = false;  // at its deadline
  bool given_up = false;
};

namespace {

// What a start leaves for the next one to find ready is made when the start itself is over.
constexpr Nanos kReadyDelay = std::chrono::milliseconds(100);
constexpr Nanos kReadyAgainDelay = std::chrono::seconds(1);
// A killed process may still wait for a disk, or for a vault that is being started again.
constexpr Nanos kEndGrace = std::chrono::seconds(10);
constexpr Nanos kDiscardDeadline = std::chrono::minutes(5);

Result<HelperReply> read_reply(int socket, const std::string& verb) {
  auto message = receive_fd_message(socket);
  if (!message) return fail(Code::kInternal, "flodea-helper " + verb + " ended without an answer");
  HelperReply out;
  if (!out.reply.ParseFromString(message->bytes))
    return fail(Code::kInternal, "flodea-helper " + verb + " answered nonsense");
  if (out.reply.code() != 0) {
    std::string step = out.reply.step().empty() ? verb : out.reply.step();
    auto error =
        fail(static_cast<Code>(out.reply.code()), step + ": " + out.reply.message()).value();
    return tl::unexpected(std::move(error).with_remedy(out.reply.remedy()));
  }
  out.fds = std::move(message->fds);
  return out;
}

}  // namespace

Helpers::~Helpers() = default;

// `request` empty: it comes later.
Result<std::shared_ptr<Helpers::Job>> Helpers::spawn(const std::string& verb,
                                                     std::string_view request,
                                                     std::span<const int> fds,
                                                     const Cgroup* group) {
  auto job = std::make_shared<Job>(Job{.verb = verb, .done = OneShot<HelperReply>(loop_)});
  auto pair = TRY(make_socketpair(SOCK_SEQPACKET));
  ProgramSpec spec{.executable = executable_.get(), .argv = {"flodea-helper", verb}};
  spec.fds = {{pair.second.get(), fd_layout::helper::kRequest}};
  if (group != nullptr) spec.cgroup = group->unified_dir();
  job->process = TRY(spawn_program(spec));
  // It waits for its request: by then it is in every hierarchy of the group. Without one it ends.
  Status placed = group != nullptr ? group->add_to_v1(job->process.pid()) : Status();
  if (placed && !request.empty()) placed = send_fd_message(pair.first.get(), request, fds);
  if (!placed) {
    pair.first.reset();
    [[maybe_unused]] auto ended = job->process.wait();
    return tl::unexpected(std::move(placed).error());
  }
  job->socket = std::move(pair.first);
  TRY(loop_.watch(job->process.get(), EPOLLIN, [this, job](std::uint32_t) { on_exit(job); }));
  running_.insert(job);
  return job;
}

void Helpers::keep_one_ready() {
  if (ready_) return;
  // Without one, a start is slower, and its own attempt says why no process can be had.
  if (auto made = spawn("prepare", {}, {})) ready_ = std::move(*made);
}

void Helpers::dismiss_ready() {
  auto job = std::exchange(ready_, nullptr);
  if (!job) return;
  running_.erase(job);
  loop_.unwatch(job->process.get());
  job->socket.reset();  // it ends: it waits for nothing else
  [[maybe_unused]] auto ended = job->process.wait();
}

std::string Helpers::under_way() const {
  for (const auto& job : running_) {
    if (job != ready_) return "flodea-helper " + job->verb;
  }
  return undiscarded_.empty() ? "" : "descriptors of a volume that no helper could be had for";
}

// The one that stands ready may have died since: then another is made.
Result<std::shared_ptr<Helpers::Job>> Helpers::ask(const std::string& verb,
                                                   const helper::v1::Request& request,
                                                   std::span<const int> fds) {
  std::string bytes = request.SerializeAsString();
  if (ready_ && ready_->verb == verb) {
    auto job = std::exchange(ready_, nullptr);
    loop_.call_after(kReadyDelay, [this] { keep_one_ready(); });
    if (send_fd_message(job->socket.get(), bytes, fds)) return job;
  }
  return spawn(verb, bytes, fds);
}

Status Helpers::follow(const std::shared_ptr<Job>& job, Nanos deadline) {
  TRY(loop_.watch(job->socket.get(), EPOLLIN, [this, job](std::uint32_t) { on_reply(job); }));
  job->timer = loop_.call_after(deadline, [this, job] {
    job->killed = true;
    [[maybe_unused]] auto killed = job->process.send_signal(SIGKILL);
    job->timer = loop_.call_after(kEndGrace, [job] {
      job->given_up = true;
      job->done.set(
          fail(Code::kDeadlineExceeded, "flodea-helper " + job->verb + " does not even end"));
    });
  });
  return {};
}

OneShot<HelperReply> Helpers::run(const std::string& verb, const helper::v1::Request& request,
                                  std::span<const int> fds, Nanos deadline) {
  return answer_of(verb, ask(verb, request, fds), deadline);
}

OneShot<HelperReply> Helpers::run_in(const Cgroup& group, const std::string& verb,
                                     const helper::v1::Request& request, std::span<const int> fds,
                                     Nanos deadline) {
  return answer_of(verb, spawn(verb, request.SerializeAsString(), fds, &group), deadline);
}

OneShot<HelperReply> Helpers::answer_of(const std::string& verb, Result<std::shared_ptr<Job>> job,
                                        Nanos deadline) {
  OneShot<HelperReply> failed(loop_);
  Status followed;
  if (job) followed = follow(*job, deadline);
  if (job && followed) return (*job)->done;
  Error error = job ? std::move(followed).error() : std::move(job).error();
  failed.set(tl::unexpected(std::move(error).with_context("flodea-helper " + verb)));
  return failed;
}

void Helpers::discard(std::vector<UniqueFd> fds) {
  if (fds.empty()) return;
  helper::v1::Request request;
  request.mutable_discard();
  std::vector<int> numbers;
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  auto job = ask("discard", request, numbers);
  Status followed = job ? follow(*job, kDiscardDeadline) : Status();
  if (job && followed) return;  // it holds them now
  std::ranges::move(fds, std::back_inserter(undiscarded_));
}

void Helpers::on_reply(const std::shared_ptr<Job>& job) {
  if (!job->socket) return;
  loop_.unwatch(job->socket.get());
  auto reply = read_reply(job->socket.get(), job->verb);
  job->socket.reset();
  if (!reply && job->killed) {
    reply = fail(Code::kDeadlineExceeded, "flodea-helper " + job->verb + " did not finish in time");
  }
  if (job->given_up && reply)
    discard(std::move(reply->fds));
  else
    job->done.set(std::move(reply));
}

void Helpers::on_exit(const std::shared_ptr<Job>& job) {
  [[maybe_unused]] auto status = job->process.wait_no_hang();
  running_.erase(job);
  loop_.unwatch(job->process.get());
  loop_.cancel(job->timer);
  if (ready_ == job) {  // killed, by somebody or for want of memory
    ready_.reset();
    loop_.call_after(kReadyAgainDelay, [this] { keep_one_ready(); });
    return;
  }
  on_reply(job);  // the answer, if it came together with the end
}

}  // namespace flodea::root
