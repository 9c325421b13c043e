// The probes of an agent: asks the prober (prober.h) to run each when it is due, and writes what
// came of it to the status page, where it outlives control; what it means is control's to judge.
// Owner: Worker. Thread: the loop's. The prober has the agent's uid, so the agent may end, stop or
// starve it: no request waits for it, at most one of a probe is open, one that is not answered in
// time has failed, and a prober that says more than it was asked is not listened to any more.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/mapped_status_page.h"
#include "worker/launcher.h"

namespace flodea::worker {

class Probes {
 public:
  static constexpr Nanos kAnswerSlack = std::chrono::seconds(1);  // past a probe's timeout

  class Listener {
   public:
    virtual ~Listener() = default;
    // A failure, the first success, or one after a failure. The output's end, whatever it is.
    virtual void on_probe_result(ProbeKind kind, std::string_view output) = 0;
    virtual void on_probe_slow(ProbeKind kind) = 0;  // a quarter of its timeout is over
  };

  Probes(EventLoop& loop, StatusPageWriter& page, const Clock& clock, Listener& listener)
      : loop_(loop), page_(page), clock_(clock), listener_(listener) {}
  ~Probes();
  Probes(const Probes&) = delete;

  // `socket` is O_NONBLOCK. Nothing is run before `begin`.
  Status start(UniqueFd socket, std::vector<ProbePlan> plans);
  void begin();  // the agent was executed
  void end();    // no more runs: it is to stop, or has ended

 private:
  struct Probe {
    std::optional<ProbePlan> plan;
    std::uint32_t run = 0;
    Nanos begin{};      // CLOCK_MONOTONIC
    bool open = false;  // asked, and not judged yet
    bool owed = false;  // asked, and not answered yet
    bool succeeded = false;
    std::uint32_t failures = 0;
    EventLoop::TimerId due = 0, slow = 0, late = 0;
  };

  void begin_after_startup();
  void run(ProbeKind kind);
  bool ask(ProbeKind kind);
  void receive();
  bool take(std::string_view bytes);
  void finish(ProbeKind kind, ProbeOutcome outcome, std::uint32_t value, std::string_view output);
  void schedule(ProbeKind kind);
  void lose_prober();
  void cancel(EventLoop::TimerId& timer);
  Probe& of(ProbeKind kind) { return probes_[static_cast<std::size_t>(kind)]; }

  EventLoop& loop_;
  StatusPageWriter& page_;
  const Clock& clock_;
  Listener& listener_;
  UniqueFd socket_;
  std::array<Probe, kProbeKinds> probes_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace flodea::worker
