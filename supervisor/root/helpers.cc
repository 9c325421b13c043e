#include "supervisor/root/helpers.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

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
};

namespace {

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

OneShot<HelperReply> Helpers::run(const std::string& verb, const helper::v1::Request& request,
                                  std::span<const int> fds, Nanos deadline) {
  auto job = std::make_shared<Job>(Job{.verb = verb, .done = OneShot<HelperReply>(loop_)});
  auto started = start(job, request, fds, deadline);
  if (!started)
    job->done.set(tl::unexpected(std::move(started).error().with_context("flodea-helper " + verb)));
  return job->done;
}

Status Helpers::start(const std::shared_ptr<Job>& job, const helper::v1::Request& request,
                      std::span<const int> fds, Nanos deadline) {
  auto pair = TRY(make_socketpair(SOCK_SEQPACKET));
  TRY(send_fd_message(pair.first.get(), request.SerializeAsString(), fds));
  ProgramSpec spec{.executable = executable_.get(), .argv = {"flodea-helper", job->verb}};
  spec.fds = {{pair.second.get(), fd_layout::helper::kRequest}};
  job->process = TRY(spawn_program(spec));
  job->socket = std::move(pair.first);
  ++running_;
  TRY(loop_.watch(job->process.get(), EPOLLIN, [this, job](std::uint32_t) { on_exit(job); }));
  TRY(loop_.watch(job->socket.get(), EPOLLIN, [this, job](std::uint32_t) { on_reply(job); }));
  job->timer = loop_.call_after(deadline, [job] {
    [[maybe_unused]] auto killed = job->process.send_signal(SIGKILL);
    job->done.set(
        fail(Code::kDeadlineExceeded, "flodea-helper " + job->verb + " did not finish in time"));
  });
  return {};
}

void Helpers::on_reply(const std::shared_ptr<Job>& job) {
  if (!job->socket) return;
  loop_.unwatch(job->socket.get());
  auto reply = read_reply(job->socket.get(), job->verb);
  job->socket.reset();
  job->done.set(std::move(reply));
}

void Helpers::on_exit(const std::shared_ptr<Job>& job) {
  [[maybe_unused]] auto status = job->process.wait_no_hang();
  loop_.unwatch(job->process.get());
  loop_.cancel(job->timer);
  on_reply(job);  // the answer, if it came together with the end
  --running_;
}

}  // namespace flodea::root
