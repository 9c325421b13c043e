// The operators' server over backends that live in memory, on a real unix socket: for tests of the
// service and of the CLI.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <list>
#include <mutex>

#include "supervisor/control/operators/operators_server.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control::testing {

// Agents run as soon as they are applied. With `hold`, calls that wait are kept until `release`.
class FakeLifecycle final : public Lifecycle {
 public:
  void apply(AgentManifest manifest, ApplyOptions options, Callback<ApplyOutcome> done) override {
    ApplyOutcome outcome;
    bool start = options.start, wait = options.wait;
    {
      std::lock_guard lock(mutex_);
      auto [it, fresh] = agents_.try_emplace(manifest.name);
      AgentView& view = it->second;
      bool same = !fresh && view.manifest == manifest;
      outcome.kind = fresh  ? ApplyOutcome::Kind::kCreated
                     : same ? ApplyOutcome::Kind::kUnchanged
                            : ApplyOutcome::Kind::kChanged;
      if (fresh) view.id = AgentId::random();
      if (!same) remember(view, manifest, options.by);
      view.manifest = std::move(manifest);
      if (fresh || start) view.state = applied_state;
      if (applied_state == AgentState::kFailed)
        view.reason = "exit code", view.message = "exit code 3";
      outcome.agent = view;
    }
    deliver(wait, [done = std::move(done), outcome] { done(outcome); });
  }
  void plan(std::vector<AgentManifest> manifests,
            Callback<std::vector<ApplyOutcome>> done) override {
    std::vector<ApplyOutcome> outcomes;
    for (AgentManifest& manifest : manifests) outcomes.push_back(preview(std::move(manifest)));
    done(std::move(outcomes));
  }
  void await(std::string name, std::uint64_t revision, Asked, Callback<AgentView> done) override {
    auto view = find(name);
    if (view && revision != 0 && revision != view->revision)
      view = fail(Code::kAborted, "another revision");
    deliver(true, [done = std::move(done), view] { done(view); });
  }
  void rollback(RollbackOrder order, Asked asked, Callback<ApplyOutcome> done) override {
    AgentManifest manifest;
    {
      std::lock_guard lock(mutex_);
      for (const RevisionView& one : revisions_[order.name]) {
        if (one.revision == order.revision) manifest = one.manifest;
      }
    }
    if (manifest.name.empty()) return done(fail(Code::kNotFound, "no such revision"));
    apply(std::move(manifest), {.wait = asked.wait, .by = asked.by}, std::move(done));
  }
  void start(std::string name, Asked asked, Callback<AgentView> done) override {
    change(name, AgentState::kRunning, asked, std::move(done));
  }
  void stop(std::string name, Asked asked, Callback<AgentView> done) override {
    change(name, AgentState::kStopped, asked, std::move(done));
  }
  void restart(std::string name, Asked asked, Callback<AgentView> done) override {
    change(name, AgentState::kRunning, asked, std::move(done));
  }
  void look(std::vector<std::string> names, Callback<std::vector<AgentView>> done) override {
    std::vector<AgentView> views;
    for (const std::string& name : names) {
      if (auto view = find(name)) views.push_back(std::move(*view));
    }
    done(std::move(views));
  }
  void revisions(std::string name, Callback<std::vector<RevisionView>> done) override {
    if (auto view = find(name); !view) return done(tl::unexpected(view.error()));
    std::lock_guard lock(mutex_);
    done(revisions_[name]);
  }
  void remove(std::string name, bool, std::string, Callback<RemovalReceipt> done) override {
    auto view = find(name);
    if (!view) return done(tl::unexpected(view.error()));
    {
      std::lock_guard lock(mutex_);
      agents_.erase(name);
    }
    done(RemovalReceipt{.id = view->id, .key_digest = "abc", .destroyed = Nanos(1)});
  }
  void get(std::string name, Callback<AgentView> done) override { done(find(name)); }
  void list(Callback<std::vector<AgentView>> done) override {
    std::vector<AgentView> views;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [name, view] : agents_) views.push_back(view);
    }
    done(std::move(views));
  }
  void node(Callback<NodeStatus> done) override {
    done(NodeStatus{.kernel = "6.18",
                    .cgroup = "hybrid",
                    .volume_backend = "vault",
                    .cpus = 2,
                    .services = {{"flodea-vault", true, 1}}});
  }

  void put(AgentView view) {
    std::lock_guard lock(mutex_);
    agents_[view.manifest.name] = std::move(view);
  }
  void release() {
    std::list<std::function<void()>> held;
    {
      std::lock_guard lock(mutex_);
      held.swap(held_);
    }
    for (auto& call : held) call();
  }
  std::size_t held() const {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  std::atomic<bool> hold = false;
  AgentState applied_state = AgentState::kRunning;
  std::string last_asked_by() const {
    std::lock_guard lock(mutex_);
    return asked_by_;
  }

 private:
  Result<AgentView> find(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto it = agents_.find(name);
    if (it != agents_.end()) return it->second;
    return tl::unexpected(fail(Code::kNotFound, "no agent \"" + name + "\"")
                              .value()
                              .with_remedy("flodea ps lists them"));
  }
  // With mutex_ held.
  void remember(AgentView& view, const AgentManifest& manifest, const std::string& by) {
    asked_by_ = by;
    auto& kept = revisions_[manifest.name];
    for (RevisionView& one : kept) one.current = false;
    view.revision = view.observed_revision = kept.size() + 1;
    RevisionView fresh{
        .revision = view.revision, .author = by, .digest = "sha256:d", .current = true};
    fresh.manifest = manifest;
    kept.insert(kept.begin(), std::move(fresh));
  }
  ApplyOutcome preview(AgentManifest manifest) {
    ApplyOutcome outcome;
    if (auto view = find(manifest.name)) {
      bool same = view->manifest == manifest;
      outcome.kind = same ? ApplyOutcome::Kind::kUnchanged : ApplyOutcome::Kind::kChanged;
      outcome.agent = std::move(*view);
    }
    outcome.agent.manifest = std::move(manifest);
    return outcome;
  }
  void change(const std::string& name, AgentState state, const Asked& asked,
              Callback<AgentView> done) {
    bool wait = asked.wait;
    {
      std::lock_guard lock(mutex_);
      asked_by_ = asked.by;
    }
    auto view = find(name);
    if (view) {
      view->state = state;
      put(*view);
    }
    deliver(wait, [done = std::move(done), view] { done(view); });
  }
  void deliver(bool wait, std::function<void()> answer) {
    if (!wait || !hold) return answer();
    std::lock_guard lock(mutex_);
    held_.push_back(std::move(answer));
  }
  mutable std::mutex mutex_;
  std::map<std::string, AgentView> agents_;
  std::map<std::string, std::vector<RevisionView>> revisions_;
  std::string asked_by_;
  std::list<std::function<void()>> held_;
};

class FakeEvents final : public EventLog {
 public:
  Status record(Event event) override {
    std::map<std::uint64_t, Subscriber> subscribers;
    {
      std::lock_guard lock(mutex_);
      event.id = events_.size() + 1;
      events_.push_back(event);
      subscribers = subscribers_;
    }
    for (auto& [id, subscriber] : subscribers) subscriber(event);
    return {};
  }
  Result<std::vector<Event>> query(const EventQuery& query) const override {
    std::lock_guard lock(mutex_);
    std::vector<Event> found;
    for (const Event& event : events_) {
      bool wanted = event.id > query.after_id && event.time >= query.since &&
                    (!query.until || event.time <= *query.until) &&
                    query.filter.takes(event.agent, event.kind, event.labels);
      if (wanted) found.push_back(event);
    }
    if (query.tail && found.size() > *query.tail)
      found.erase(found.begin(), found.end() - *query.tail);
    if (found.size() > query.limit) found.resize(query.limit);
    return found;
  }
  void set_labels(const std::string&, std::map<std::string, std::string>) override {}
  Bounds bounds() const override {
    std::lock_guard lock(mutex_);
    return {.first = forgotten + 1, .last = events_.size()};
  }
  std::atomic<std::uint64_t> forgotten = 0;  // of the oldest, as far as `bounds` tells
  std::uint64_t subscribe(Subscriber subscriber) override {
    std::lock_guard lock(mutex_);
    subscribers_[++next_] = std::move(subscriber);
    return next_;
  }
  void unsubscribe(std::uint64_t id) override {
    std::lock_guard lock(mutex_);
    subscribers_.erase(id);
  }
  std::size_t subscribers() const {
    std::lock_guard lock(mutex_);
    return subscribers_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
  std::map<std::uint64_t, Subscriber> subscribers_;
  std::uint64_t next_ = 0;
};

// One agent's log. Cursors are line numbers.
class FakeLogs final : public LogStore {
 public:
  Status open(const AgentId&, const LogKey&, const LogPolicy&, std::uint64_t) override {
    return {};
  }
  void expect(const AgentId&, bool) override {}
  Status attach(const AgentId&, Generation, UniqueFd) override { return {}; }
  void finish(const AgentId&, Generation, std::function<void()> done) override { done(); }
  Status append(const AgentId&, Generation generation, LogStream stream,
                std::string text) override {
    std::map<std::uint64_t, Subscriber> subscribers;
    {
      std::lock_guard lock(mutex_);
      lines_.push_back({.time = Nanos(static_cast<std::int64_t>(lines_.size())),
                        .stream = stream,
                        .generation = generation.value,
                        .text = std::move(text)});
      subscribers = subscribers_;
    }
    for (auto& [id, subscriber] : subscribers) subscriber();
    return {};
  }
  Result<std::vector<LogLine>> read(const AgentId&, const LogQuery& query) const override {
    std::lock_guard lock(mutex_);
    std::size_t from = query.cursor.empty() ? 0 : std::stoul(query.cursor);
    if (query.tail && lines_.size() > from + *query.tail) from = lines_.size() - *query.tail;
    std::vector<LogLine> found;
    for (; from < lines_.size() && found.size() < query.limit; ++from) {
      if (lines_[from].time < query.since) continue;
      found.push_back(lines_[from]);
      found.back().cursor = std::to_string(from + 1);
    }
    handed_out_ += found.size();
    return found;
  }
  std::uint64_t subscribe(const AgentId&, Subscriber subscriber) override {
    std::lock_guard lock(mutex_);
    subscribers_[++next_] = std::move(subscriber);
    subscribed_.notify_all();
    return next_;
  }
  // Somebody follows, within a time that no machine is too slow for.
  bool wait_for_subscriber() {
    std::unique_lock lock(mutex_);
    return subscribed_.wait_for(lock, std::chrono::seconds(60),
                                [this] { return !subscribers_.empty(); });
  }
  void unsubscribe(const AgentId&, std::uint64_t id) override {
    std::lock_guard lock(mutex_);
    subscribers_.erase(id);
  }
  LogUsage usage(const AgentId&) const override { return {}; }
  Status remove(const AgentId&) override { return {}; }
  std::size_t handed_out() const {
    std::lock_guard lock(mutex_);
    return handed_out_;
  }
  std::size_t subscribers() const {
    std::lock_guard lock(mutex_);
    return subscribers_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable subscribed_;
  std::vector<LogLine> lines_;
  mutable std::size_t handed_out_ = 0;
  std::map<std::uint64_t, Subscriber> subscribers_;
  std::uint64_t next_ = 0;
};

struct TestServer {
  static constexpr gid_t kGroup = 54321;  // no real group: tests choose who is in it
  TemporaryDir directory;
  std::string socket;
  FakeLifecycle lifecycle;
  FakeEvents events;
  FakeLogs logs;
  std::unique_ptr<BundleStore> bundles;
  std::unique_ptr<OperatorsServer> server;

  TestServer() {
    ::chmod(directory.path().c_str(), 0755);
    std::filesystem::create_directory(directory / "bundles");
    socket = directory / "control.sock";
    bundles = std::move(*BundleStore::open(
        UniqueFd(::open((directory / "bundles").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        BundleLimits{.reserve = 0}));
    start();
  }
  void start() {
    SpecBounds bounds;
    bounds.host_cpu_millis = 2000;
    OperatorsConfig config{.listening = listen_on(socket),
                           .operators_group = kGroup,
                           .backends = {lifecycle, events, logs, *bundles,
                                        [this](const AgentSpec& spec) {
                                          return bundles->check_entrypoint(spec.bundle,
                                                                           spec.runtime.entrypoint);
                                        }},
                           .bounds = bounds};
    server = std::move(*OperatorsServer::start(std::move(config)));
  }
  // Its connections end; another may be started on the same path.
  void stop() {
    server.reset();
    std::filesystem::remove(socket);
  }
  std::size_t stored() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(directory / "bundles"), {}));
  }
  // An agent "a" that runs, with no bundle behind it.
  AgentView add_agent(const std::string& name = "a") {
    AgentView view;
    view.id = AgentId::random();
    view.manifest.name = name;
    view.state = AgentState::kRunning;
    lifecycle.put(view);
    return view;
  }
  static UniqueFd listen_on(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX};
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
    // Open to all, so that what keeps strangers out is the server's own check.
    if (::chmod(path.c_str(), 0666) != 0 || ::listen(fd.get(), 128) != 0) std::abort();
    return fd;
  }
};

}  // namespace flodea::control::testing
