#include "supervisor/control/monitoring/event_log.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <unordered_map>

#include "base/text.h"
#include "base/token_bucket.h"
#include "supervisor/control/monitoring/event_table.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMaxMessage = 1024;
constexpr std::size_t kMaxWord = 128;    // kind, states, reason
constexpr double kChattyPerSecond = 10;  // limit and denied events of one agent
constexpr double kChattyBurst = 50;
constexpr std::size_t kMaxAgentsHeld =
    1024;  // whose buckets are remembered before full ones are forgotten

// Holds chatty agents to their rate and remembers what was left out. Under the log's order lock.
class ChattyAgents {
 public:
  static bool applies_to(const Event& event) {
    return !event.agent.empty() && (event.kind == "agent.limit" || event.kind == "agent.denied");
  }

  // False: leave the event out. True: take it; `event.message` then tells how many went before it.
  bool admit(Event& event, Nanos now) {
    auto [it, fresh] =
        agents_.try_emplace(event.agent, Agent{TokenBucket(kChattyPerSecond, kChattyBurst), {}});
    auto& left_out = it->second.left_out;
    if (!it->second.bucket.take(now)) {
      auto& [count, generation] = left_out[event.kind];
      ++count;
      generation = event.generation;
      return false;
    }
    if (auto some = left_out.find(event.kind); some != left_out.end()) {
      event.message += fmt::format(" ({} more were left out before)", some->second.count);
      left_out.erase(some);
    }
    if (fresh && agents_.size() > kMaxAgentsHeld) forget_quiet(now);
    return true;
  }

  // What was left out of agents that have gone quiet since, one event each, now that their rate
  // allows it.
  std::vector<Event> overdue(Nanos now) {
    std::vector<Event> events;
    for (auto& [name, agent] : agents_) {
      for (auto it = agent.left_out.begin();
           it != agent.left_out.end() && agent.bucket.take(now);) {
        events.push_back({.kind = it->first,
                          .agent = name,
                          .reason = "quota",
                          .message = fmt::format("{} more were left out before", it->second.count),
                          .generation = it->second.generation});
        it = agent.left_out.erase(it);
      }
    }
    return events;
  }

 private:
  struct LeftOut {
    std::uint64_t count = 0;
    std::uint64_t generation = 0;
  };
  struct Agent {
    TokenBucket bucket;
    std::map<std::string, LeftOut> left_out;  // by kind
  };
  void forget_quiet(Nanos now) {
    for (auto it = agents_.begin(); it != agents_.end();) {
      bool quiet = it->second.left_out.empty() && it->second.bucket.full(now);
      it = quiet ? agents_.erase(it) : std::next(it);
    }
  }
  std::unordered_map<std::string, Agent> agents_;
};

class SqliteEventLog final : public EventLog {
 public:
  SqliteEventLog(EventTable table, const Clock& clock) : table_(std::move(table)), clock_(clock) {}

  Status record(Event event) override {
    std::lock_guard order(order_);
    Nanos now = clock_.monotonic();
    bool chatty = ChattyAgents::applies_to(event);
    if (chatty && !chatty_.admit(event, now)) return {};
    Status stored = store(std::move(event));
    if (!chatty) {
      for (Event& late : chatty_.overdue(now)) (void)store(std::move(late));
    }
    return stored;
  }

  void set_labels(const std::string& agent, std::map<std::string, std::string> labels) override {
    std::lock_guard order(order_);
    if (labels.empty())
      labels_.erase(agent);
    else
      labels_[agent] = std::move(labels);
  }

  Result<std::vector<Event>> query(const EventQuery& query) const override {
    std::lock_guard lock(table_mutex_);
    return table_.page(query);
  }
  Bounds bounds() const override {
    std::lock_guard lock(table_mutex_);
    return table_.bounds();
  }

  std::uint64_t subscribe(Subscriber subscriber) override {
    std::lock_guard order(order_);
    subscribers_.emplace(++last_subscriber_, std::make_shared<Subscriber>(std::move(subscriber)));
    return last_subscriber_;
  }
  void unsubscribe(std::uint64_t id) override {
    std::lock_guard order(order_);
    subscribers_.erase(id);
  }

 private:
  Status store(Event event) {
    if (event.time == Nanos::zero()) event.time = clock_.wall();
    event.kind = clean_line(event.kind, kMaxWord);
    event.agent = clean_line(event.agent, kMaxWord);
    event.from = clean_line(event.from, kMaxWord);
    event.to = clean_line(event.to, kMaxWord);
    event.reason = clean_line(event.reason, kMaxWord);
    event.message = clean_line(event.message, kMaxMessage);
    event.cause = clean_line(event.cause, kMaxWord);
    if (auto known = labels_.find(event.agent); known != labels_.end() && event.labels.empty())
      event.labels = known->second;
    {
      std::lock_guard lock(table_mutex_);
      event.id = TRY_CONTEXT(table_.insert(event), "record an event");
    }
    announce(event);
    return {};
  }

  // A subscriber may record, subscribe or unsubscribe.
  void announce(const Event& event) {
    auto next = subscribers_.begin();
    while (next != subscribers_.end()) {
      std::uint64_t id = next->first;
      auto subscriber = next->second;
      (*subscriber)(event);
      next = subscribers_.upper_bound(id);
    }
  }

  mutable EventTable table_;
  const Clock& clock_;
  mutable std::mutex table_mutex_;  // guards table_; after order_
  std::recursive_mutex order_;  // events are announced in the order of their ids; guards the rest
  ChattyAgents chatty_;
  std::unordered_map<std::string, std::map<std::string, std::string>> labels_;  // by agent
  std::map<std::uint64_t, std::shared_ptr<Subscriber>> subscribers_;
  std::uint64_t last_subscriber_ = 0;
};

}  // namespace

bool EventFilter::takes(const std::string& agent, const std::string& kind,
                        const std::map<std::string, std::string>& labels) const {
  if (!agents.empty() && !agents.contains(agent)) return false;
  if (!kinds.empty() && !kinds.contains(kind)) return false;
  return selector.selects_all() || (!agent.empty() && selector.matches(labels));
}

Result<std::unique_ptr<EventLog>> make_event_log(EventLogConfig config) {
  auto table = EventTable::open(config.path, config.max_events);
  if (!table)
    return tl::unexpected(std::move(table).error().with_context("event log in " + config.path));
  return std::make_unique<SqliteEventLog>(std::move(*table), config.clock);
}

}  // namespace flodea::control
