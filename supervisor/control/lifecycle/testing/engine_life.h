// A story told with a real engine on a real state.db, on a disk, a host and a clock that are
// played. The engine dies and is made again; the world stays. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/engine.h"
#include "supervisor/control/lifecycle/testing/fake_disk.h"
#include "supervisor/control/lifecycle/testing/fake_host.h"
#include "supervisor/control/lifecycle/testing/fakes.h"
#include "supervisor/control/lifecycle/testing/promises.h"
#include "supervisor/control/lifecycle/testing/story.h"

namespace flodea::control::testing {

class EngineLife {
 public:
  explicit EngineLife(const std::filesystem::path& directory);
  ~EngineLife();

  // Tells the story, then lets time go on without disturbances until all is as wanted. What was
  // not as it must be, in words; empty: nothing.
  std::string tell(const Story& story);
  const std::vector<std::string>& trace() const { return world_.trace; }

 private:
  using Task = std::function<void()>;
  struct Request {
    std::string name;
    bool removal = false;
  };

  void take(const StoryStep& step);
  void act(Act act);
  void end_of_step();
  std::string come_to_rest();
  void soothe();

  // Deaths and births
  void be_born();
  void kill_control();
  void end_host(bool power);
  void bury();
  void attempt(const Task& task);
  void run_posted();

  // What operators do
  AgentManifest random_manifest();
  std::string some_name();
  void apply(AgentManifest manifest);
  void relabel();
  void remove();
  void verb(Act act);
  void rollback();
  void await_revision();
  std::string unanswered(const std::vector<AgentView>& views) const;
  std::uint64_t await(const std::string& name, bool removal = false);
  void answered(std::uint64_t request) { open_requests_.erase(request); }

  // What agents do
  void exit();
  void tell_health();
  AgentId some_instance();

  // What is checked as it happens
  void on_event(const Event& event);
  void on_start(const StartOrder& order);
  void on_shutdown_of(const AgentId& id);
  std::vector<AgentView> views();

  std::filesystem::path directory_;
  FakeDisk disk_;
  FakeClock clock_;
  Dice dice_;
  FakeWorld world_;
  Promises promises_{world_};
  HostFacts facts_;
  RecordingEvents events_;
  CountingMetrics metrics_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<Engine> engine_;
  std::vector<Task> posted_;
  bool open_ = false;    // recovered
  bool closed_ = false;  // shut down: no instance is left
  std::uint64_t ids_ = 0, boots_ = 0, requests_ = 0;
  std::map<std::uint64_t, Request> open_requests_;  // whose answer is to come
  std::map<std::uint64_t, std::string> awaits_;     // by number, whose: not answered yet
  std::map<std::string, std::string> told_state_;   // of agents, by their events
  bool full_once_ = false;                          // the disk was full in this life
};

}  // namespace flodea::control::testing
