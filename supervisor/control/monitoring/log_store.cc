#include "supervisor/control/monitoring/log_store.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/event_loop.h"
#include "supervisor/control/monitoring/log_drain.h"

namespace flodea::control {
namespace {

constexpr double kBurstSeconds = 2;

// Signals are the main thread's.
void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// Who wants to know of new lines. A subscriber runs under the lock, so that after `remove` it is
// not running; it may remove itself.
class Subscribers {
 public:
  std::uint64_t add(const AgentId& agent, LogStore::Subscriber subscriber) {
    std::lock_guard lock(mutex_);
    by_agent_[agent].emplace(++last_id_,
                             std::make_shared<LogStore::Subscriber>(std::move(subscriber)));
    return last_id_;
  }
  void remove(const AgentId& agent, std::uint64_t id) {
    std::lock_guard lock(mutex_);
    auto it = by_agent_.find(agent);
    if (it != by_agent_.end() && it->second.erase(id) != 0 && it->second.empty())
      by_agent_.erase(it);
  }
  void call(const AgentId& agent) {
    std::lock_guard lock(mutex_);
    std::uint64_t after = 0;
    for (auto next = find_after(agent, after); next; next = find_after(agent, after)) (*next)();
  }

 private:
  std::shared_ptr<LogStore::Subscriber> find_after(const AgentId& agent, std::uint64_t& after) {
    auto it = by_agent_.find(agent);
    if (it == by_agent_.end()) return nullptr;
    auto next = it->second.upper_bound(after);
    if (next == it->second.end()) return nullptr;
    after = next->first;
    return next->second;
  }

  std::recursive_mutex mutex_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<AgentId, std::map<std::uint64_t, std::shared_ptr<LogStore::Subscriber>>>
      by_agent_;
};

class EncryptedLogStore final : public LogStore {
 public:
  EncryptedLogStore(LogStoreConfig config, std::unique_ptr<EventLoop> loop, LogTee tee,
                    std::shared_ptr<LogKeyArena> keys)
      : config_(std::move(config)),
        keys_(std::move(keys)),
        loop_(std::move(loop)),
        drain_(*loop_, config_.clock, config_.limits, std::move(tee), config_.marks,
               {.on_limit = [this](const AgentId& agent,
                                   const std::string& message) { tell(agent, message); },
                .on_stored = [this](const AgentId& agent) { subscribers_.call(agent); }}),
        thread_([this] { run(); }) {}

  ~EncryptedLogStore() override {
    loop_->stop();
    thread_.join();
  }

  Status open(const AgentId& id, const LogKey& key, const LogPolicy& policy,
              std::uint64_t bytes_per_second) override {
    std::lock_guard one_at_a_time(open_mutex_);
    if (auto agent = find(id)) return reopen(*agent, key, policy, bytes_per_second);
    LogKeyArena::Ref stored_key = TRY(keys_->store(key));
    auto log = TRY_CONTEXT(SegmentLog::open({config_.directory.get(), id, std::move(stored_key),
                                             policy.keep_bytes, &config_.clock}),
                           "log of agent " + id.text());
    if (!log->damage().empty()) tell(id, "its log: " + log->damage());
    auto rate = static_cast<double>(bytes_per_second);
    TokenBucket bucket(rate, rate * kBurstSeconds);
    std::lock_guard lock(mutex_);
    agents_.try_emplace(id, std::make_shared<AgentLog>(id, std::move(log), bucket));
    return {};
  }

  void expect(const AgentId& id, bool opening) override {
    std::lock_guard lock(mutex_);
    if (opening) {
      expected_.insert(id);
    } else {
      expected_.erase(id);
      settled_.notify_all();
    }
  }

  Status attach(const AgentId& id, Generation generation, UniqueFd pipe) override {
    auto agent = TRY(opened(id));
    auto shared = std::make_shared<UniqueFd>(std::move(pipe));  // a task is copyable
    loop_->post([this, agent, generation, shared] {
      drain_.attach(agent, generation, std::move(*shared));
    });
    return {};
  }

  void finish(const AgentId& id, Generation generation, std::function<void()> done) override {
    loop_->post(
        [this, id, generation, done = std::move(done)] { drain_.finish(id, generation, done); });
  }

  Status append(const AgentId& id, Generation generation, LogStream stream,
                std::string text) override {
    auto agent = TRY(opened(id));
    Nanos now = config_.clock.wall();
    std::lock_guard lock(agent->mutex);
    TRY(admit(*agent, stream, text.size()));
    do {  // longer lines are split as the worker splits them
      bool last = text.size() <= LogFrame::kMaxText;
      WaitingLine line{.generation = generation, .stream = stream, .time_ns = now.count()};
      line.flags = last ? std::uint8_t{0} : LogFrame::kPartial;
      line.text = text.substr(0, LogFrame::kMaxText);
      text.erase(0, line.text.size());
      agent->waiting_bytes += line.bytes();
      agent->waiting.push_back(std::move(line));
    } while (!text.empty());
    if (!std::exchange(agent->flush_due, true)) loop_->post([this, agent] { drain_.flush(agent); });
    return {};
  }

  Result<std::vector<LogLine>> read(const AgentId& id, const LogQuery& query) const override {
    wait_for_opening(id);
    auto agent = TRY(opened(id));
    return agent->log->read(query);
  }

  std::uint64_t subscribe(const AgentId& agent, Subscriber subscriber) override {
    return subscribers_.add(agent, std::move(subscriber));
  }
  void unsubscribe(const AgentId& agent, std::uint64_t id) override {
    subscribers_.remove(agent, id);
  }

  LogUsage usage(const AgentId& id) const override {
    auto agent = find(id);
    if (!agent) return {};
    std::uint64_t stored = agent->log->stored_bytes();
    std::lock_guard lock(agent->mutex);
    LogUsage usage = agent->usage;
    usage.stored_bytes = stored;
    if (agent->waiting_since) usage.throttled += config_.clock.monotonic() - *agent->waiting_since;
    return usage;
  }

  Status remove(const AgentId& id) override {
    std::shared_ptr<AgentLog> agent;
    {
      std::lock_guard lock(mutex_);
      if (auto node = agents_.extract(id)) agent = std::move(node.mapped());
    }
    loop_->post([this, id] { drain_.forget(id); });
    return agent ? agent->log->remove() : SegmentLog::remove_files(config_.directory.get(), id);
  }

 private:
  void run() {
    block_signals();
    ::pthread_setname_np(::pthread_self(), "flodea-logs");
    (void)loop_->run();
    for (const auto& agent : all())
      drain_.flush(agent);  // lines of ours; the agents' wait in their pipes
  }

  std::shared_ptr<AgentLog> find(const AgentId& id) const {
    std::lock_guard lock(mutex_);
    auto it = agents_.find(id);
    return it != agents_.end() ? it->second : nullptr;
  }

  std::vector<std::shared_ptr<AgentLog>> all() const {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<AgentLog>> agents;
    for (const auto& [id, agent] : agents_) agents.push_back(agent);
    return agents;
  }

  // After a start of control its API serves before each log is mended and open.
  void wait_for_opening(const AgentId& id) const {
    std::unique_lock lock(mutex_);
    settled_.wait_for(lock, kOpeningLimit,
                      [&] { return agents_.contains(id) || !expected_.contains(id); });
  }

  Result<std::shared_ptr<AgentLog>> opened(const AgentId& id) const {
    auto agent = find(id);
    if (!agent) return fail(Code::kNotFound, "the log of agent " + id.text() + " is not open");
    return agent;
  }

  Status reopen(AgentLog& agent, const LogKey& key, const LogPolicy& policy,
                std::uint64_t bytes_per_second) {
    if (!same_key(agent.log->key(), key))
      return fail(Code::kFailedPrecondition,
                  "the log of agent " + agent.id.text() + " has another key");
    agent.log->keep(policy.keep_bytes);
    auto rate = static_cast<double>(bytes_per_second);
    std::lock_guard lock(agent.mutex);
    agent.bucket.change(rate, rate * kBurstSeconds, config_.clock.monotonic());
    return {};
  }

  // Under the agent's lock. Flodea's own lines count against nothing but the memory they wait in.
  Status admit(AgentLog& agent, LogStream stream, std::size_t bytes) {
    if (agent.waiting_bytes + bytes > config_.limits.waiting_bytes) {
      return fail(Code::kResourceExhausted, "too much log waits to be written");
    }
    if (stream == LogStream::kSystem) return {};
    if (agent.bucket.available(config_.clock.monotonic()) <= 0) {
      return fail(Code::kResourceExhausted, "the agent's log rate is reached");
    }
    agent.bucket.charge(static_cast<double>(bytes + LogFrame::kHeaderBytes));
    return {};
  }

  void tell(const AgentId& agent, const std::string& message) {
    if (config_.on_limit) config_.on_limit(agent, message);
  }

  LogStoreConfig config_;
  std::shared_ptr<LogKeyArena> keys_;
  std::mutex open_mutex_;  // a second `open` must not mend files that the first one already writes;
                           // before mutex_
  mutable std::mutex mutex_;  // guards agents_, expected_
  mutable std::condition_variable settled_;
  std::set<AgentId> expected_;
  std::map<AgentId, std::shared_ptr<AgentLog>> agents_;
  Subscribers subscribers_;
  std::unique_ptr<EventLoop> loop_;
  LogDrain drain_;
  std::thread thread_;  // last: everything above is there when it starts
};

}  // namespace

Result<std::unique_ptr<LogStore>> make_log_store(LogStoreConfig config) {
  auto keys = TRY(LogKeyArena::create());
  auto loop = TRY(EventLoop::create());
  LogTee tee = TRY(LogTee::create());
  return std::make_unique<EncryptedLogStore>(std::move(config), std::move(loop), std::move(tee),
                                             std::move(keys));
}

}  // namespace flodea::control
