// The verbs of the root protocol (proto/flodea/root/v1/root.proto): what each decides, on top of
// Instance and Volumes.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "supervisor/helper/volume/geometry.h"
#include "supervisor/root/request.h"
#include "supervisor/root/supervisor.h"

namespace flodea::root {
namespace {

constexpr std::uint32_t kDefaultPage = 100;

std::uint64_t free_bytes(int dir) {
  struct statvfs fs;
  return ::fstatvfs(dir, &fs) == 0 ? std::uint64_t{fs.f_bavail} * fs.f_frsize : 0;
}

// The sum of all images; each is allocated in full, so its size is what it takes.
std::uint64_t volumes_bytes(int dir) {
  UniqueFd copy(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(copy.release()), ::closedir);
  std::uint64_t sum = 0;
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    struct stat info;
    if (::fstatat(dir, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode))
      sum += static_cast<std::uint64_t>(info.st_size);
  }
  return sum;
}

tl::unexpected<Error> exhausted(const std::string& message, const std::string& remedy) {
  auto error = fail(Code::kResourceExhausted, message).value();
  return tl::unexpected(std::move(error).with_remedy(remedy));
}

}  // namespace

Instance* Supervisor::find(const std::string& agent_id, std::uint64_t generation) {
  auto it = instances_.find(*AgentId::parse(agent_id));
  if (it == instances_.end() || it->second->generation().value != generation) return nullptr;
  return it->second.get();
}

Async<Supervisor::Answer> Supervisor::hello(v1::Request) {
  Answer answer;
  auto* hello = answer.reply.mutable_hello();
  hello->set_protocol(kProtocol);
  hello->set_epoch(epoch_);
  hello->set_boot_id(parts_.instances.boot_id);
  *hello->mutable_host() = parts_.host;
  hello->mutable_host()->set_volumes_free_bytes(free_bytes(parts_.volumes_dir));
  hello->mutable_host()->set_max_memory_bytes(parts_.totals.memory_bytes);
  hello->mutable_host()->set_max_agents(parts_.totals.agents);
  hello->set_operators_socket(parts_.operators_path);
  for (const Service* service : {vault_service_, control_service_}) {
    auto* state = hello->add_services();
    state->set_service(service->name());
    state->set_up(service->running());
    state->set_restarts(service->restarts());
  }
  auto* self = hello->add_services();
  self->set_service("flodead");
  self->set_up(true);
  self->set_restarts(parts_.reloads);
  if (!parts_.began.empty()) announce_self(std::exchange(parts_.began, ""));
  co_return std::move(answer);
}

// ---- volumes

// What is being created counts twice for a while, here and on the disk: never too little.
Status Supervisor::admit_volume(std::uint64_t device) const {
  std::uint64_t wanted = device + creating_bytes_;
  if (parts_.totals.disk_bytes != 0 &&
      volumes_bytes(parts_.volumes_dir) + wanted > parts_.totals.disk_bytes)
    return exhausted("volumes would take more than max-disk",
                     "remove agents, or raise max-disk in flodead's settings");
  struct statvfs fs;
  if (::fstatvfs(parts_.volumes_dir, &fs) != 0)
    return fail_errno("statvfs of the volumes' directory");
  std::uint64_t reserve = std::uint64_t{fs.f_blocks} * fs.f_frsize / 20;
  if (wanted + reserve > std::uint64_t{fs.f_bavail} * fs.f_frsize)
    return exhausted("the volume needs " + std::to_string(device) +
                         " bytes, and 5 % of the file system stay free",
                     "ask for less disk, or free some");
  return {};
}

Async<Supervisor::Answer> Supervisor::create_volume(v1::Request request) {
  AgentId agent = *AgentId::parse(request.create_volume().agent_id());
  auto waiting = turns_.wait(agent);
  [[maybe_unused]] auto mine = co_await waiting;
  AgentTurns::Turn turn(turns_, agent);
  Answer answer;
  if (instances_.contains(agent)) {  // it runs on it
    answer.reply.mutable_create_volume()->set_created(false);
    co_return std::move(answer);
  }
  struct stat image;
  bool there = ::fstatat(parts_.volumes_dir, (agent.text() + ".img").c_str(), &image,
                         AT_SYMLINK_NOFOLLOW) == 0;
  std::uint64_t device = there ? 0 : volume::device_size_for(request.create_volume().size_bytes());
  if (!there) CO_CHECK(admit_volume(device));
  creating_bytes_ += device;
  auto creating = parts_.volumes.create(agent, request.create_volume().size_bytes());
  auto created = co_await creating;
  creating_bytes_ -= device;
  if (!created) co_return tl::unexpected(std::move(created).error());
  answer.reply.mutable_create_volume()->set_created(*created);
  co_return std::move(answer);
}

Async<Supervisor::Answer> Supervisor::destroy_volume(v1::Request request) {
  AgentId agent = *AgentId::parse(request.destroy_volume().agent_id());
  auto waiting = turns_.wait(agent);
  [[maybe_unused]] auto mine = co_await waiting;
  AgentTurns::Turn turn(turns_, agent);
  if (instances_.contains(agent))
    co_return fail(Code::kFailedPrecondition, "the agent still has an instance");
  auto destroying = parts_.volumes.destroy(agent);
  CO_TRY(auto destroyed, co_await destroying);
  Answer answer;
  auto* reply = answer.reply.mutable_destroy_volume();
  reply->set_existed(destroyed.existed());
  reply->set_key_digest(destroyed.key_digest());
  reply->set_destroyed_ns(destroyed.destroyed_ns());
  co_return std::move(answer);
}

// ---- instances

Status Supervisor::admit_memory(std::uint64_t bytes) const {
  std::uint64_t memory = bytes + parts_.jobs.memory_bytes();
  for (const auto& [agent, instance] : instances_) memory += instance->memory_bytes();
  if (memory > parts_.totals.memory_bytes)
    return exhausted(
        "the memory limits of running agents, and of the job that is made for one, would pass " +
            std::to_string(parts_.totals.memory_bytes) + " bytes",
        "stop agents, lower spec.resources.memory, or raise max-memory in flodead's settings");
  return {};
}

Status Supervisor::admit(const v1::StartRequest& request) const {
  if (stopping_) return fail(Code::kUnavailable, "flodead is shutting down");
  if (instances_.size() >= parts_.totals.agents)
    return exhausted(
        std::to_string(parts_.totals.agents) + " agents are there, as many as flodead may have",
        "stop agents; or raise max-agents in flodead's settings, or the limit of its "
        "open files (LimitNOFILE)");
  return admit_memory(request.limits().memory_bytes());
}

Supervisor::Answer Supervisor::started_answer(const Instance& instance) const {
  Answer answer;
  *answer.reply.mutable_start() = instance.start_reply();
  answer.fds = instance.kept_fds();
  return answer;
}

Async<Supervisor::Answer> Supervisor::start_instance(v1::Request request) {
  const v1::StartRequest& start = request.start();
  AgentId agent = *AgentId::parse(start.agent_id());
  auto waiting = turns_.wait(agent);
  [[maybe_unused]] auto mine = co_await waiting;
  AgentTurns::Turn turn(turns_, agent);
  if (auto it = instances_.find(agent); it != instances_.end()) {
    if (it->second->generation().value == start.generation()) co_return started_answer(*it->second);
    co_return fail(Code::kFailedPrecondition, "generation " +
                                                  std::to_string(it->second->generation().value) +
                                                  " of this agent is not released");
  }
  CO_CHECK(admit(start));
  Instance& instance =
      *instances_.emplace(agent, std::make_unique<Instance>(parts_.instances, start)).first->second;
  auto starting = instance.start();
  auto started = co_await starting;
  if (!started) {
    instances_.erase(agent);
    co_return tl::unexpected(std::move(started).error());
  }
  co_return started_answer(instance);
}

Async<Supervisor::Answer> Supervisor::kill(v1::Request request) {
  Instance* instance = find(request.kill().agent_id(), request.kill().generation());
  if (instance == nullptr) co_return Answer{};
  instance->kill(request.kill().reason());
  auto exited = instance->exited();
  [[maybe_unused]] auto seen = co_await exited;
  co_return Answer{};
}

Async<Supervisor::Answer> Supervisor::release(v1::Request request) {
  AgentId agent = *AgentId::parse(request.release().agent_id());
  std::uint64_t generation = request.release().generation();
  auto waiting = turns_.wait(agent);
  [[maybe_unused]] auto mine = co_await waiting;
  AgentTurns::Turn turn(turns_, agent);
  Answer answer;
  auto* reply = answer.reply.mutable_release();
  Instance* instance = find(agent.text(), generation);
  if (instance == nullptr) co_return std::move(answer);
  if (instance->state() != v1::INSTANCE_STATE_EXITED)
    co_return fail(Code::kFailedPrecondition, "the agent still runs");
  auto releasing = instance->release();
  auto leftovers = co_await releasing;
  for (const std::string& left : *leftovers) reply->add_leftovers(left);
  instances_.erase(agent);
  co_return std::move(answer);
}

Async<Supervisor::Answer> Supervisor::set_deadline(v1::Request request) {
  Instance* instance = find(request.set_deadline().agent_id(), request.set_deadline().generation());
  if (instance == nullptr || instance->state() != v1::INSTANCE_STATE_RUNNING)
    co_return fail(Code::kNotFound, "no such instance runs");
  CO_CHECK(instance->set_deadline(request.set_deadline().boottime_ns()));
  co_return Answer{};
}

Async<Supervisor::Answer> Supervisor::freeze(v1::Request request) {
  Instance* instance = find(request.freeze().agent_id(), request.freeze().generation());
  if (instance == nullptr) co_return fail(Code::kNotFound, "no such instance");
  CO_CHECK(instance->freeze(request.freeze().frozen() ? "1" : "0"));
  co_return Answer{};
}

void Supervisor::describe(const Instance& instance, v1::Instance& out) const {
  out.set_agent_id(instance.agent().text());
  out.set_generation(instance.generation().value);
  out.set_state(instance.state());
  *out.mutable_start() = instance.start_reply();
  if (instance.state() == v1::INSTANCE_STATE_EXITED) *out.mutable_exit() = instance.exit();
}

Async<Supervisor::Answer> Supervisor::list(v1::Request request) {
  Answer answer;
  auto* page = answer.reply.mutable_list();
  int size =
      static_cast<int>(request.list().page_size() == 0 ? kDefaultPage : request.list().page_size());
  const std::string& token = request.list().page_token();
  auto it = token.empty() ? instances_.begin() : instances_.upper_bound(*AgentId::parse(token));
  for (; it != instances_.end() && page->instances_size() < size &&
         answer.reply.ByteSizeLong() < kMaxFdMessageBytes / 2;
       ++it)
    describe(*it->second, *page->add_instances());
  if (it != instances_.end())
    page->set_next_page_token(page->instances(page->instances_size() - 1).agent_id());
  co_return std::move(answer);
}

// Admitted when its turn has come.
Async<Supervisor::Answer> Supervisor::run_job(v1::Request request) {
  auto admit = [this, life = control_.life()](std::uint64_t bytes) -> Status {
    if (stopping_) return fail(Code::kUnavailable, "flodead is shutting down");
    if (control_.life() != life) return fail(Code::kCancelled, "the control that asked has ended");
    return admit_memory(bytes);
  };
  auto running = parts_.jobs.run(std::move(*request.mutable_run_job()), admit);
  CO_TRY(auto result, co_await running);
  Answer answer;
  *answer.reply.mutable_run_job() = result.reply;
  answer.given = std::move(result.fds);
  co_return std::move(answer);
}

Async<Supervisor::Answer> Supervisor::adopt(v1::Request request) {
  Instance* instance = find(request.adopt().agent_id(), request.adopt().generation());
  if (instance == nullptr) co_return fail(Code::kNotFound, "no such instance");
  if (instance->state() == v1::INSTANCE_STATE_STARTING) {
    auto starting = instance->started();
    [[maybe_unused]] auto seen = co_await starting;
    instance = find(request.adopt().agent_id(), request.adopt().generation());
    if (instance == nullptr) co_return fail(Code::kNotFound, "its start failed");
  }
  if (instance->state() == v1::INSTANCE_STATE_RELEASING)
    co_return fail(Code::kNotFound, "it is being released");
  co_return started_answer(*instance);
}

}  // namespace flodea::root
