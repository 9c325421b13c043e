// Who is at the other end of a connection that gRPC serves. gRPC tells of one only "fd:N", its own
// descriptor; a connection's descriptor is not closed while a call of it lasts, so N names one
// caller then. Thread-safe.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <string>

namespace flodea::control {

class Callers {
 public:
  // Before the connection is handed to gRPC; the number's earlier owner is gone.
  void note(int fd, uid_t uid);
  // "uid 1000" of ServerContext::peer(); empty where it is not known.
  std::string who(const std::string& peer) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, uid_t> uids_;  // as many as descriptors were ever open at a time
};

}  // namespace flodea::control
