// Whose messages flodea-control is at: sealed memory that outlives it, made by flodead, written by
// control before it looks at what a worker sent, read by the control that follows one that crashed
// (docs/guard.md). flodead never looks into it.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <utility>

#include <boost/interprocess/mapped_region.hpp>

#include "base/clock.h"
#include "base/ids.h"
#include "base/row_places.h"
#include "base/unique_fd.h"

namespace flodea {

class CallMarks {
 public:
  // Three for each of as many agents as there are uid ranges, and those of attachments that are
  // ending.
  static constexpr std::size_t kRows = 16'384;

  static Result<UniqueFd> make();  // empty, close-on-exec
  // kFailedPrecondition: the descriptor holds no marks.
  static Result<std::shared_ptr<CallMarks>> open(UniqueFd fd);

  // Those that control is at, or was at `since` (CLOCK_MONOTONIC) or later.
  Result<std::set<AgentId>> marked(Nanos since) const;
  Status clear();  // before any row is added

  // Of one way that an agent's messages come. What it says last stays when it ends: a crash may
  // follow at once.
  class Row {
   public:
    static constexpr Nanos kAtIt = Nanos::max();

    Row() = default;  // marks nothing
    Row(std::shared_ptr<CallMarks> marks, std::size_t row) : marks_(std::move(marks)), row_(row) {}
    Row(Row&& other) noexcept = default;
    Row& operator=(Row&& other) noexcept {
      std::swap(marks_, other.marks_);
      std::swap(row_, other.row_);
      std::swap(said_, other.said_);
      return *this;
    }
    ~Row();
    // kAtIt; or when control was at it last, where nothing tells that it is over (CLOCK_MONOTONIC);
    // or 0: it is not. One thread.
    void set(Nanos at);

   private:
    std::shared_ptr<CallMarks> marks_;
    std::size_t row_ = 0;
    Nanos said_{};
  };
  // Any thread. kResourceExhausted: every row is taken.
  static Result<Row> add(const std::shared_ptr<CallMarks>& marks, const AgentId& agent);
  // The same, or one that marks nothing: marks are an aid, and no condition.
  static Row add_if_possible(const std::shared_ptr<CallMarks>& marks, const AgentId& agent);

 private:
  struct Mark;
  CallMarks(UniqueFd fd, boost::interprocess::mapped_region region)
      : fd_(std::move(fd)), region_(std::move(region)) {}
  Mark& mark(std::size_t row) const;

  UniqueFd fd_;  // read by it: a look through the mapping would give every row a page
  boost::interprocess::mapped_region region_;
  RowPlaces places_{kRows};
};

}  // namespace flodea
