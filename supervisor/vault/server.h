// The threads that answer the kernel. Few, for all volumes: one epoll over every /dev/fuse, each
// event taken by one thread, one request a turn, at most Volume::kSeats threads at once in one
// volume. So a volume that never stops asking has its share of turns and no more, and a volume that
// is idle costs no thread.
#pragma once

#include <sys/epoll.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/io_buffer.h"
#include "supervisor/vault/volume.h"

namespace flodea::vault {

class Server {
 public:
  static constexpr unsigned kThreads = 4;
  // Called on a worker thread when the kernel has closed a connection: its volume is served no
  // more, its key is gone.
  using OnClosed = std::function<void(const AgentId&)>;

  // Starts the threads; on return they all run, and the process may give up clone(2).
  static Result<std::unique_ptr<Server>> create(OnClosed on_closed);
  ~Server();

  // Any thread. kAlreadyExists when this agent's volume is being served.
  Status add(std::unique_ptr<Volume> volume);
  // Returns once no thread is inside it and its key is gone; false when it was not served.
  bool remove(const AgentId& agent);
  bool serves(const AgentId& agent) const;
  std::size_t count() const;

 private:
  struct Entry {
    std::unique_ptr<Volume> volume;
    unsigned busy = 0;     // bit per seat
    bool leaving = false;  // no thread enters any more
    bool closed = false;   // by the kernel: the last thread to leave removes it
  };
  struct Seat {
    Entry* entry;
    unsigned number;
  };
  Server(UniqueFd epoll, UniqueFd stop, OnClosed on_closed);
  Status start();
  void work(IoBuffer& buffer);
  void turn(std::uint64_t id, IoBuffer& buffer);
  bool take_seat(std::uint64_t id, Seat* seat);
  void let_another_in(std::uint64_t id, const Seat& seat);
  void leave(std::uint64_t id, const Seat& seat, bool closed);
  void arm(int operation, std::uint64_t id, const Volume& volume);

  UniqueFd epoll_;
  UniqueFd stop_;
  OnClosed on_closed_;
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::map<std::uint64_t, Entry>
      entries_;  // by a number never reused: a late event of a volume that is gone finds nothing
  std::map<AgentId, std::uint64_t> by_agent_;
  std::uint64_t next_ = 1;
  std::vector<std::thread> threads_;
};

}  // namespace flodea::vault
