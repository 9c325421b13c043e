#include "base/call_marks.h"

#include <cstring>

#include "base/sealed_memory.h"

namespace flodea {

// As it lies in the memory; a control of the next release finds the same.
struct CallMarks::Mark {
  char agent[32];
  std::atomic<std::int64_t> passed_on;  // nanoseconds of CLOCK_MONOTONIC
};

namespace {

constexpr const char* kMarksName = "flodea-calls";

}  // namespace

Result<UniqueFd> CallMarks::make() { return make_sealed_memory(kMarksName, kRows * sizeof(Mark)); }

Result<std::shared_ptr<CallMarks>> CallMarks::open(UniqueFd fd) {
  static_assert(sizeof(Mark) == 40 && std::atomic<std::int64_t>::is_always_lock_free);
  auto region = map_sealed_memory(fd.get(), kMarksName, kRows * sizeof(Mark),
                                  boost::interprocess::read_write);
  if (!region)
    return fail(Code::kFailedPrecondition, "no marks of calls: " + region.error().message);
  return std::shared_ptr<CallMarks>(new CallMarks(std::move(*region)));
}

CallMarks::CallMarks(boost::interprocess::mapped_region region)
    : region_(std::move(region)), used_(kRows) {}

CallMarks::Mark* CallMarks::rows() const { return static_cast<Mark*>(region_.get_address()); }

std::set<AgentId> CallMarks::unanswered(Nanos since) const {
  std::set<AgentId> found;
  for (std::size_t at = 0; at < kRows; ++at) {
    const Mark& mark = rows()[at];
    std::int64_t passed_on = mark.passed_on.load(std::memory_order_relaxed);
    if (passed_on <= 0 || passed_on < since.count()) continue;
    if (auto agent = AgentId::parse(std::string_view(mark.agent, sizeof mark.agent)))
      found.insert(std::move(*agent));
  }
  return found;
}

void CallMarks::clear() {
  for (std::size_t at = 0; at < kRows; ++at) {
    // Untouched pages stay so: most of the rows are never used.
    if (rows()[at].passed_on.load(std::memory_order_relaxed) != 0)
      rows()[at].passed_on.store(0, std::memory_order_relaxed);
  }
}

Result<CallMarks::Row> CallMarks::add(const std::shared_ptr<CallMarks>& marks,
                                      const AgentId& agent) {
  if (agent.text().size() != sizeof Mark::agent)
    return fail(Code::kInvalidArgument, "an agent without an id");
  std::lock_guard lock(marks->mutex_);
  for (std::size_t tried = 0; tried < kRows; ++tried) {
    std::size_t at = marks->next_;
    marks->next_ = (at + 1) % kRows;
    if (marks->used_[at]) continue;
    marks->used_[at] = true;
    Mark& mark = marks->rows()[at];
    mark.passed_on.store(0, std::memory_order_relaxed);
    std::memcpy(mark.agent, agent.text().data(), sizeof mark.agent);
    return Row(marks, at);
  }
  return fail(Code::kResourceExhausted, "every mark of calls is taken");
}

void CallMarks::Row::set(Nanos passed_on) {
  if (!marks_ || passed_on == said_) return;
  said_ = passed_on;
  // Before the bytes themselves are passed on, by a system call.
  marks_->rows()[at_].passed_on.store(passed_on.count(), std::memory_order_release);
}

CallMarks::Row::~Row() {
  if (!marks_) return;
  std::lock_guard lock(marks_->mutex_);
  marks_->used_[at_] = false;
}

}  // namespace flodea
