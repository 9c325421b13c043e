// The agents' API as a test's control offers it: real gRPC on the socket of one attachment. `cut`
// is what kill -9 does to a connection.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "flodea/agent/v1/self.grpc.pb.h"
#include "flodea/kernel/v1/clock.grpc.pb.h"
#include "flodea/storage/v1/store.grpc.pb.h"

namespace flodea::worker::testing {

// Lets handlers wait until the test lets them go; says how many came.
class Gate {
 public:
  void open();
  void arrive_and_wait(const grpc::ServerContext& context);  // until open, or the call is cancelled
  bool wait_for_arrivals(int count);                         // within 5 s

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

// State of the modules: it outlives each FakeControl, as real modules' state outlives a process.
struct FakeModules {
  Gate sleep;   // Clock.SleepUntil
  Gate put;     // Store.Put answers only then
  Gate commit;  // the same for the first Store.Commit
  Gate stop;    // Self.WatchStop sends its notice then
  std::mutex mutex;
  std::map<std::string, std::string> store;
  std::map<std::string, int> commits;  // by dedup_key: how often it came
  std::vector<std::string> log;
  std::atomic<int> sleeps = 0;
};

class FakeControl {
 public:
  FakeControl(UniqueFd socket, FakeModules& modules);
  ~FakeControl();
  FakeControl(const FakeControl&) = delete;
  void cut();

 private:
  class ClockService;
  class StoreService;
  class SelfService;
  UniqueFd copy_;  // of the socket: to break it under gRPC
  std::unique_ptr<ClockService> clock_;
  std::unique_ptr<StoreService> store_;
  std::unique_ptr<SelfService> self_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace flodea::worker::testing
