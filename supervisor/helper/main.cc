// flodea-helper VERB: what may block or parse, so that flodead never does. Root, exec'd by flodead
// for one request, which comes on descriptor 3 with its descriptors; the reply leaves there and the
// process ends. flodead kills it at its deadline. `prepare` may be started ahead of its request.
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <span>

#include "base/fd_layout.h"
#include "base/fd_message.h"
#include "flodea/helper/v1/helper.pb.h"
#include "supervisor/helper/job.h"
#include "supervisor/helper/netns.h"
#include "supervisor/helper/profiles.h"
#include "supervisor/helper/runtimes.h"
#include "supervisor/helper/volume/volume.h"

namespace flodea::helper {
namespace {

using Fds = std::vector<UniqueFd>;

Status need_fds(const Fds& fds, std::size_t count) {
  if (fds.size() < count) return fail(Code::kInvalidArgument, "the request lacks its descriptors");
  return {};
}

class Phases {
 public:
  explicit Phases(v1::Reply& reply) : reply_(reply), last_(clock_.monotonic()) {}
  void lap(const char* name) {
    Nanos now = clock_.monotonic();
    auto* phase = reply_.add_phases();
    phase->set_name(name);
    phase->set_nanos(static_cast<std::uint64_t>((now - last_).count()));
    last_ = now;
  }

 private:
  v1::Reply& reply_;
  SystemClock clock_;
  Nanos last_;
};

// What `prepare` needs that no request decides: made before the request is there.
struct MadeAhead {
  Result<UniqueFd> netns = fail(Code::kInternal, "not started as prepare");
  Status mount_namespace;
};

MadeAhead make_ahead(std::string_view verb) {
  if (verb != "prepare") return {};
  return {.netns = make_network_namespace(),
          .mount_namespace = volume::enter_private_mount_namespace()};
}

struct Call {
  v1::Request request;
  Fds fds;
  MadeAhead ahead;
  v1::Reply reply;
  Fds out;
};

Status make_filesystem(Call& call) {
  TRY(need_fds(call.fds, 1));
  auto loop = TRY(
      volume::make_filesystem(call.fds[0].get(), call.request.make_filesystem().usable_bytes()));
  call.reply.mutable_make_filesystem()->set_loop(loop.encode());
  return {};
}

Status prepare(Call& call) {
  TRY(need_fds(call.fds, 2));
  Phases phases(call.reply);
  call.reply.set_step("netns");
  call.out.push_back(TRY(std::move(call.ahead.netns)));
  call.reply.set_step("volume");
  TRY(std::move(call.ahead.mount_namespace));
  auto mounted = TRY(volume::mount_volume(call.fds[0].get()));
  phases.lap("mount");
  auto opened = TRY(volume::open_trees(std::move(mounted), call.fds[1].get()));
  phases.lap("trees");
  call.out.push_back(std::move(opened.agent_tree));
  call.out.push_back(std::move(opened.store_tree));
  call.reply.mutable_prepare()->set_loop(opened.loop.encode());
  call.reply.clear_step();
  return {};
}

Status close_volume(Call& call) {
  const auto& request = call.request.close_volume();
  TRY(need_fds(call.fds, request.lost() ? 0 : 1));
  auto loop = TRY(volume::LoopIdentity::decode(request.loop()));
  UniqueFd device = request.lost() ? UniqueFd() : std::move(call.fds.front());
  call.fds.clear();  // the trees: this process was their last holder
  auto closed =
      volume::verify_closed(loop, device.get(), std::chrono::milliseconds(request.deadline_ms()));
  call.reply.mutable_close_volume();
  if (!closed) call.reply.mutable_close_volume()->add_leftovers(closed.error().message);
  return {};
}

Status discard(Call& call) {
  call.fds.clear();
  return {};
}

Status compile_profiles(Call& call) {
  TRY(need_fds(call.fds, 1));
  for (const std::string& name : call.request.compile_profiles().names()) {
    auto compiled = TRY(compile_profile(call.fds[0].get(), name));
    call.reply.mutable_compile_profiles()->add_instructions(compiled.instructions);
    call.out.push_back(std::move(compiled.filter));
  }
  return {};
}

Status run_job(Call& call) {
  TRY(need_fds(call.fds, 3));
  const auto& request = call.request.run_job();
  JobPlan plan{.program = call.fds[0].get(),
               .filter = call.fds[1].get(),
               .bundle = call.fds[2].get(),
               .name = request.name(),
               .arguments = {request.arguments().begin(), request.arguments().end()},
               .input = request.input(),
               .uid = request.uid(),
               .output_bytes = request.output_bytes()};
  auto ended = TRY(run_job(plan));
  call.reply.mutable_run_job()->set_signaled(ended.status.signaled);
  call.reply.mutable_run_job()->set_value(ended.status.value);
  call.out.push_back(std::move(ended.output));
  call.out.push_back(std::move(ended.messages));
  return {};
}

Status probe_runtimes(Call& call) {
  for (const std::string& path : call.request.probe_runtimes().executables())
    call.reply.mutable_probe_runtimes()->add_versions(runtime_version(path));
  return {};
}

struct Verb {
  v1::Request::VerbCase verb;
  Status (*run)(Call&);
};
constexpr Verb kVerbs[] = {
    {v1::Request::kMakeFilesystem, make_filesystem},
    {v1::Request::kPrepare, prepare},
    {v1::Request::kCloseVolume, close_volume},
    {v1::Request::kCompileProfiles, compile_profiles},
    {v1::Request::kProbeRuntimes, probe_runtimes},
    {v1::Request::kDiscard, discard},
    {v1::Request::kRunJob, run_job},
};

Status dispatch(Call& call) {
  for (const Verb& verb : kVerbs) {
    if (verb.verb == call.request.verb_case()) return verb.run(call);
  }
  return fail(Code::kUnimplemented, "no such verb");
}

Status serve_one(std::string_view verb) {
  Call call{.ahead = make_ahead(verb)};
  auto message = TRY(receive_fd_message(fd_layout::helper::kRequest));
  call.fds = std::move(message.fds);
  Status done = fail(Code::kInvalidArgument, "not a request of flodea.helper.v1");
  if (call.request.ParseFromString(message.bytes)) done = dispatch(call);
  if (!done) {
    call.reply.set_code(static_cast<std::uint32_t>(done.error().code));
    call.reply.set_message(done.error().message);
    call.reply.set_remedy(done.error().remedy);
    call.out.clear();
  }
  call.fds.clear();  // before flodead reads the reply, and undoes what failed
  std::vector<int> numbers;
  for (const UniqueFd& fd : call.out) numbers.push_back(fd.get());
  return send_fd_message(fd_layout::helper::kRequest, call.reply.SerializeAsString(), numbers);
}

}  // namespace
}  // namespace flodea::helper

int main(int argc, char** argv) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  std::string_view verb = argc > 1 ? argv[1] : "";
  int status = flodea::helper::serve_one(verb) ? 0 : 1;
  // Its cgroup is killed as soon as it has answered: an orderly end may not come to its own.
  if (verb == "run-job") ::_exit(status);
  return status;
}
