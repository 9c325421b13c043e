// flodea-helper VERB: what may block or parse, so that flodead never does. Root, exec'd by flodead
// for one request, which comes on descriptor 3 with its descriptors; the reply leaves there and the
// process ends. flodead kills it at its deadline.
#include <sys/prctl.h>

#include <chrono>
#include <span>

#include "base/fd_layout.h"
#include "base/fd_message.h"
#include "flodea/helper/v1/helper.pb.h"
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

Status make_filesystem(const v1::Request& request, Fds& fds, v1::Reply& reply, Fds&) {
  TRY(need_fds(fds, 1));
  auto loop = TRY(volume::make_filesystem(fds[0].get(), request.make_filesystem().usable_bytes()));
  reply.mutable_make_filesystem()->set_loop(loop.encode());
  return {};
}

// The namespace first: it can be made while the vault takes up the volume.
Status prepare(const v1::Request&, Fds& fds, v1::Reply& reply, Fds& out) {
  TRY(need_fds(fds, 2));
  Phases phases(reply);
  reply.set_step("netns");
  out.push_back(TRY(make_network_namespace()));
  phases.lap("netns");
  reply.set_step("volume");
  auto opened = TRY(volume::open_volume(fds[0].get(), fds[1].get()));
  phases.lap("volume");
  out.push_back(std::move(opened.agent_tree));
  out.push_back(std::move(opened.store_tree));
  reply.mutable_prepare()->set_loop(opened.loop.encode());
  reply.clear_step();
  return {};
}

Status close_volume(const v1::Request& request, Fds& fds, v1::Reply& reply, Fds&) {
  TRY(need_fds(fds, 1));
  auto loop = TRY(volume::LoopIdentity::decode(request.close_volume().loop()));
  UniqueFd device = std::move(fds.front());
  fds.clear();  // the trees: this process was their last holder
  auto closed = volume::verify_closed(
      loop, device.get(), std::chrono::milliseconds(request.close_volume().deadline_ms()));
  reply.mutable_close_volume();
  if (!closed) reply.mutable_close_volume()->add_leftovers(closed.error().message);
  return {};
}

Status compile_profiles(const v1::Request& request, Fds& fds, v1::Reply& reply, Fds& out) {
  TRY(need_fds(fds, 1));
  for (const std::string& name : request.compile_profiles().names()) {
    auto compiled = TRY(compile_profile(fds[0].get(), name));
    reply.mutable_compile_profiles()->add_instructions(compiled.instructions);
    out.push_back(std::move(compiled.filter));
  }
  return {};
}

Status probe_runtimes(const v1::Request& request, Fds&, v1::Reply& reply, Fds&) {
  for (const std::string& path : request.probe_runtimes().executables())
    reply.mutable_probe_runtimes()->add_versions(runtime_version(path));
  return {};
}

struct Verb {
  v1::Request::VerbCase verb;
  Status (*run)(const v1::Request&, Fds&, v1::Reply&, Fds&);
};
constexpr Verb kVerbs[] = {
    {v1::Request::kMakeFilesystem, make_filesystem},
    {v1::Request::kPrepare, prepare},
    {v1::Request::kCloseVolume, close_volume},
    {v1::Request::kCompileProfiles, compile_profiles},
    {v1::Request::kProbeRuntimes, probe_runtimes},
};

Status dispatch(const v1::Request& request, Fds& fds, v1::Reply& reply, Fds& out) {
  for (const Verb& verb : kVerbs) {
    if (verb.verb == request.verb_case()) return verb.run(request, fds, reply, out);
  }
  return fail(Code::kUnimplemented, "no such verb");
}

Status serve_one() {
  auto message = TRY(receive_fd_message(fd_layout::helper::kRequest));
  v1::Request request;
  v1::Reply reply;
  Fds out;
  Status done = fail(Code::kInvalidArgument, "not a request of flodea.helper.v1");
  if (request.ParseFromString(message.bytes)) done = dispatch(request, message.fds, reply, out);
  if (!done) {
    reply.set_code(static_cast<std::uint32_t>(done.error().code));
    reply.set_message(done.error().message);
    reply.set_remedy(done.error().remedy);
    out.clear();
  }
  std::vector<int> numbers;
  for (const UniqueFd& fd : out) numbers.push_back(fd.get());
  message.fds.clear();
  return send_fd_message(fd_layout::helper::kRequest, reply.SerializeAsString(), numbers);
}

}  // namespace
}  // namespace flodea::helper

int main() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  return flodea::helper::serve_one() ? 0 : 1;
}
