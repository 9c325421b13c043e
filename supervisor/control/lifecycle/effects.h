// What the engine does to the world and hears of it, as an interface, so that it is tested without
// one. HostEffects is the real one. Core thread only, both ways; events may come from within a
// call. Every order is keyed by (agent, generation) and may be given twice.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/health_judge.h"
#include "supervisor/control/lifecycle/machine.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

struct StartOrder {
  AgentId id;
  Generation generation;
  AgentManifest manifest;
  bool volume_made = false;  // known to exist: not asked for again
  std::uint32_t restarts = 0;
  Nanos received{};     // CLOCK_BOOTTIME at which control was asked for this start
  Nanos adopt_after{};  // an adoption is put off for so long
};

// An instance that flodead has, as it was found.
struct Presented {
  std::uint32_t uid_base = 0;
  std::optional<Nanos> executed;  // monotonic; set when it was adopted while its agent ran
  bool ready = false;
  std::optional<HealthReport> health;  // as far as it is known
};

// Events of an instance. What is late, doubled or of another generation is the engine's to ignore.
class EffectEvents {
 public:
  virtual ~EffectEvents() = default;
  virtual void on_volume_made(const AgentId& agent) = 0;
  virtual void on_present(const AgentId& agent, Generation generation, const Presented& found) = 0;
  virtual void on_executed(const AgentId& agent, Generation generation, Nanos monotonic,
                           std::vector<PhaseTime> phases) = 0;
  virtual void on_ready(const AgentId& agent, Generation generation) = 0;
  virtual void on_ended(const AgentId& agent, Generation generation,
                        const Ending& ending) = 0;  // also: could not be started
  virtual void on_released(const AgentId& agent, Generation generation) = 0;
  virtual void on_release_failed(const AgentId& agent, Generation generation,
                                 const Error& why) = 0;  // it is tried again
  virtual void on_health(const AgentId& agent, Generation generation,
                         const HealthReport& report) = 0;
  virtual void on_health_unjudged(const AgentId& agent, Generation generation,
                                  const std::string& why) = 0;  // though it is asked for
  virtual void on_wake(const AgentId& agent) = 0;
  virtual void on_denied(const AgentId& agent, Generation generation, const std::string& calls) = 0;
  virtual void on_service(const ServiceChange& change) = 0;
  virtual void on_shutdown_requested() = 0;
};

class Effects {
 public:
  template <class T>
  using Callback = std::function<void(Result<T>)>;
  virtual ~Effects() = default;

  // What an agent needs beside its bundle is made where it is missing: so that what is wrong with a
  // bundle is said when it is applied. Errors name the field.
  virtual void prepare(const AgentSpec& spec, Callback<void> done) = 0;
  virtual void start(StartOrder order) = 0;  // then on_present or on_ended
  virtual void adopt(StartOrder order,
                     const ListedInstance& instance) = 0;  // the same for one that flodead kept
  // A start under way is not wanted any more: then on_ended, or on_present if it was too late.
  virtual void cancel(const AgentId& agent, Generation generation) = 0;
  virtual void stop(const AgentId& agent, Generation generation, Nanos grace,
                    const std::string& reason) = 0;
  virtual void kill(const AgentId& agent, Generation generation, const std::string& reason) = 0;
  virtual void release(const AgentId& agent,
                       Generation generation) = 0;  // kills first if need be; then on_released
  virtual void destroy(const AgentId& agent, bool keep_volume,
                       Callback<RemovalReceipt> done) = 0;  // logs, and volume with its keys
  virtual void open_logs(const AgentId& agent,
                         const AgentManifest& manifest) = 0;  // readable while no instance exists
  virtual void inventory(Callback<std::vector<ListedInstance>> done) = 0;
  virtual void wake_at(const AgentId& agent,
                       std::optional<Nanos> monotonic) = 0;  // replaces the last one; then on_wake
  virtual std::optional<AgentUsage> usage(const AgentId& agent) = 0;
  virtual std::uint64_t disk_free() = 0;  // bytes where volumes live
  virtual void freeze(const AgentId& agent, Generation generation, bool frozen) = 0;
  // Percent (lifecycle/pressure.h); nothing where the kernel does not say.
  virtual std::optional<double> memory_pressure() = 0;
  virtual void call_after(Nanos delay, std::function<void()> task) = 0;
};

}  // namespace flodea::control
