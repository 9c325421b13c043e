// flodea-worker: started by flodead inside a finished sandbox. Reads as a list of shrinking
// privileges; then it serves one agent.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "base/fd_layout.h"
#include "policy/restrict_self.h"
#include "worker/self_restriction.h"
#include "worker/worker.h"

namespace flodea::worker {
namespace {

namespace fds = fd_layout::worker;

// One heap for all threads, given back early: there is one of these per agent.
void keep_memory_small() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
}

Status block_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);  // read from a signalfd
  ::sigaddset(&set, SIGPIPE);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  return {};
}

Status serve() {
  keep_memory_small();
  TRY(check_surroundings());
  TRY(block_signals());
  auto page = TRY(StatusPageWriter::map(fds::kStatusPage));
  auto agent_filter = TRY(SeccompFilter::read(fds::kAgentFilter));
  auto own_filter = TRY(SeccompFilter::read(fds::kWorkerFilter));
  TRY(forbid_dumps_and_privileges());
  TRY(keep_three_capabilities());
  auto worker =
      TRY(Worker::create(std::move(page), std::move(agent_filter), std::move(own_filter)));
  return worker->run();
}

}  // namespace
}  // namespace flodea::worker

int main() {
  auto served = flodea::worker::serve();
  if (!served) {
    std::string text = "flodea-worker: " + served.error().describe() + "\n";
    [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
  }
  ::_exit(served ? 0 : 1);  // at once: gRPC's threads have nothing left to finish
}
