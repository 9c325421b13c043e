#include "supervisor/root/volumes.h"

#include "supervisor/helper/volume/fuse_mount.h"
#include "supervisor/helper/volume/geometry.h"

namespace flodea::root {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
// An image is allocated in full, a large file system takes mke2fs a while; opening may have to
// replay a journal.
constexpr Nanos kCreateDeadline = minutes(5);
constexpr Nanos kOpenDeadline = seconds(30);
constexpr Nanos kVaultDeadline = seconds(10);
constexpr int kCloseAttempts = 5;

}  // namespace

OneShot<vault::v1::Reply> Volumes::serve(const AgentId& agent, const char* mode) {
  vault::v1::Request request;
  request.mutable_serve()->set_agent_id(agent.text());
  request.mutable_serve()->set_resume(std::string_view(mode) == "resume");
  return vault_.request(std::move(request), devices_.at(agent).get(), kVaultDeadline);
}

Async<void> Volumes::stop(AgentId agent) {
  devices_.erase(agent);
  vault::v1::Request request;
  request.mutable_stop()->set_agent_id(agent.text());
  auto waiting = vault_.request(std::move(request), -1, kVaultDeadline);
  CO_CHECK(co_await waiting);
  co_return Status{};
}

// ---- create

Async<bool> Volumes::create(AgentId agent, std::uint64_t usable_bytes) {
  vault::v1::Request request;
  request.mutable_create()->set_agent_id(agent.text());
  request.mutable_create()->set_size_bytes(volume::device_size_for(usable_bytes));
  auto waiting = vault_.request(std::move(request), -1, kCreateDeadline);
  CO_TRY(auto reply, co_await waiting);
  bool created = reply.create().created();
  if (devices_.contains(agent)) co_return false;  // open: it has its file system
  // Also when the image was there: an earlier attempt may have ended before its file system was
  // made.
  auto making = make_filesystem(agent, usable_bytes);
  CO_CHECK(co_await making);
  co_return created;
}

Async<void> Volumes::make_filesystem(AgentId agent, std::uint64_t usable_bytes) {
  CO_TRY(auto fuse, volume::make_fuse_mount());
  devices_[agent] = std::move(fuse.device);
  auto serving = serve(agent, "fresh");
  helper::v1::Request request;
  request.mutable_make_filesystem()->set_usable_bytes(usable_bytes);
  int mount = fuse.mount.get();
  auto making = helpers_.run("make-filesystem", request, std::span(&mount, 1), kCreateDeadline);
  fuse.mount.reset();
  auto served = co_await serving;
  if (!served) devices_.erase(agent);  // aborts the connection: the helper ends with an error
  auto made = co_await making;
  if (!served) co_return tl::unexpected(std::move(served).error());
  std::string loop = made ? made->reply.make_filesystem().loop() : "";
  std::vector<UniqueFd> no_trees;
  auto closing = close_device(agent, loop, std::move(no_trees));
  auto leftovers = co_await closing;
  if (!made) co_return tl::unexpected(std::move(made).error());
  if (!leftovers) co_return tl::unexpected(std::move(leftovers).error());
  if (!leftovers->empty()) co_return fail(Code::kInternal, leftovers->front());
  co_return Status{};
}

// ---- open

Result<Volumes::Opening> Volumes::begin_open(const AgentId& agent) {
  auto fuse = TRY(volume::make_fuse_mount());
  devices_[agent] = std::move(fuse.device);
  auto serving = serve(agent, "fresh");
  helper::v1::Request request;
  request.mutable_prepare();
  int fds[] = {fuse.mount.get(), control_userns_.get()};
  return Opening{std::move(serving), helpers_.run("prepare", request, fds, kOpenDeadline)};
}

Async<OpenVolume> Volumes::finish_open(AgentId agent, Opening opening) {
  auto served = co_await opening.serving;
  if (!served) devices_.erase(agent);
  auto prepared = co_await opening.preparing;
  if (!served) {
    if (prepared) helpers_.discard(std::move(prepared->fds));
    co_return tl::unexpected(std::move(served).error());
  }
  if (!prepared || prepared->fds.size() != 3) {
    if (prepared) helpers_.discard(std::move(prepared->fds));
    auto stopping = stop(agent);
    [[maybe_unused]] auto stopped = co_await stopping;
    if (!prepared) co_return tl::unexpected(std::move(prepared).error());
    co_return fail(Code::kInternal, "flodea-helper prepare sent the wrong descriptors");
  }
  OpenVolume volume{.netns = std::move(prepared->fds[0]),
                    .agent_tree = std::move(prepared->fds[1]),
                    .store = std::move(prepared->fds[2]),
                    .loop = prepared->reply.prepare().loop()};
  for (const auto& phase : prepared->reply.phases())
    volume.phases.emplace_back("helper " + phase.name(), phase.nanos());
  co_return std::move(volume);
}

// ---- close

// One helper closes and looks. If it dies, it has closed all the same, and the next one looks.
Async<std::vector<std::string>> Volumes::close_trees(AgentId agent, std::string loop,
                                                     std::vector<UniqueFd> trees) {
  for (int attempt = 1;; ++attempt) {
    bool lost = !devices_.contains(agent);
    helper::v1::Request request;
    request.mutable_close_volume()->set_loop(loop);
    request.mutable_close_volume()->set_lost(lost);
    request.mutable_close_volume()->set_deadline_ms(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(kCloseDeadline).count()));
    std::vector<int> fds;
    if (!lost) fds.push_back(devices_.at(agent).get());
    for (const UniqueFd& tree : trees) fds.push_back(tree.get());
    auto closing = helpers_.run("close-volume", request, fds, kCloseDeadline + seconds(2));
    if (closing.ready()) helpers_.discard(std::move(trees));  // it could not be started
    trees.clear();  // from here on the helper is the last to hold them
    auto closed = co_await closing;
    if (!closed && attempt < kCloseAttempts) continue;
    if (!closed) co_return std::vector<std::string>{closed.error().message};
    const auto& left = closed->reply.close_volume().leftovers();
    co_return std::vector<std::string>(left.begin(), left.end());
  }
}

Async<std::vector<std::string>> Volumes::close_device(AgentId agent, std::string loop,
                                                      std::vector<UniqueFd> trees) {
  std::vector<std::string> leftovers;
  if (!loop.empty()) {
    auto closing = close_trees(agent, loop, std::move(trees));
    leftovers = *co_await closing;
  }
  auto stopping = stop(agent);
  auto stopped = co_await stopping;
  if (!stopped) leftovers.push_back(stopped.error().message);
  co_return std::move(leftovers);
}

Async<std::vector<std::string>> Volumes::close(AgentId agent, OpenVolume volume) {
  std::vector<UniqueFd> trees;
  if (volume.agent_tree) trees.push_back(std::move(volume.agent_tree));
  if (volume.store) trees.push_back(std::move(volume.store));
  auto closing = close_device(agent, volume.loop, std::move(trees));
  co_return co_await closing;
}

Async<vault::v1::DestroyReply> Volumes::destroy(AgentId agent) {
  vault::v1::Request request;
  request.mutable_destroy()->set_agent_id(agent.text());
  auto waiting = vault_.request(std::move(request), -1, kCreateDeadline);
  CO_TRY(auto reply, co_await waiting);
  co_return reply.destroy();
}

// ---- a new vault, a new flodead

int Volumes::device_of(const AgentId& agent) const {
  auto it = devices_.find(agent);
  return it == devices_.end() ? -1 : it->second.get();
}

Detached Volumes::resume_all() {
  std::vector<std::pair<AgentId, OneShot<vault::v1::Reply>>> waiting;
  for (const auto& [agent, device] : devices_) waiting.emplace_back(agent, serve(agent, "resume"));
  for (auto& [agent, reply] : waiting) {
    auto resumed = co_await reply;
    if (resumed || resumed.error().code == Code::kUnavailable)
      continue;  // unavailable: that vault died too, the next one tries
    devices_.erase(agent);
    lost_(agent);
  }
}

void Volumes::abandon_all() {
  for (const auto& [agent, device] : std::exchange(devices_, {})) lost_(agent);
}

}  // namespace flodea::root
