// Whose calls flodea-control has passed on to gRPC and not answered: sealed memory that outlives
// it, made by flodead, written by control's guard on the way of every call, read by the control
// that follows one that crashed (docs/guard.md). flodead never looks into it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <boost/interprocess/mapped_region.hpp>

#include "base/clock.h"
#include "base/ids.h"
#include "base/unique_fd.h"

namespace flodea {

class CallMarks {
 public:
  // More than there are uid ranges for agents, and attachments that are only ending.
  static constexpr std::size_t kRows = 8192;

  static Result<UniqueFd> make();  // empty, close-on-exec
  // kFailedPrecondition: the descriptor holds no marks.
  static Result<std::shared_ptr<CallMarks>> open(UniqueFd fd);

  // Those with bytes of an unanswered call that were passed on at `since` (CLOCK_MONOTONIC) or
  // later.
  std::set<AgentId> unanswered(Nanos since) const;
  void clear();  // before any row is added

  // Of one attachment of an agent. What it says last stays when it ends: a crash may follow at
  // once.
  class Row {
   public:
    Row() = default;  // marks nothing
    Row(std::shared_ptr<CallMarks> marks, std::size_t at) : marks_(std::move(marks)), at_(at) {}
    Row(Row&& other) noexcept = default;
    Row& operator=(Row&& other) noexcept {
      std::swap(marks_, other.marks_);
      std::swap(at_, other.at_);
      std::swap(said_, other.said_);
      return *this;
    }
    ~Row();
    // CLOCK_MONOTONIC; 0: all is answered. One thread.
    void set(Nanos passed_on);

   private:
    std::shared_ptr<CallMarks> marks_;
    std::size_t at_ = 0;
    Nanos said_{};
  };
  // Any thread. kResourceExhausted: every row is taken.
  static Result<Row> add(const std::shared_ptr<CallMarks>& marks, const AgentId& agent);

 private:
  struct Mark;
  explicit CallMarks(boost::interprocess::mapped_region region);
  Mark* rows() const;

  boost::interprocess::mapped_region region_;
  std::mutex mutex_;
  std::vector<bool> used_;  // under mutex_
  std::size_t next_ = 0;  // under mutex_: rows are given out in turn, so that the last words of one
                          // that ended stay for long
};

}  // namespace flodea
