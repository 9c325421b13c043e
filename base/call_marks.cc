#include "base/call_marks.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/sealed_memory.h"

namespace flodea {

// As it lies in the memory; a control of the next release finds the same.
struct CallMarks::Mark {
  char agent[32];
  std::atomic<std::int64_t> at;  // nanoseconds, see Row::set
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
  return std::shared_ptr<CallMarks>(new CallMarks(std::move(fd), std::move(*region)));
}

CallMarks::Mark& CallMarks::mark(std::size_t row) const {
  return static_cast<Mark*>(region_.get_address())[row];
}

Result<std::set<AgentId>> CallMarks::marked(Nanos since) const {
  std::vector<char> bytes(kRows * sizeof(Mark));
  if (::pread(fd_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail_errno("read the marks of calls");
  std::set<AgentId> found;
  for (std::size_t row = 0; row < kRows; ++row) {
    const char* mark = bytes.data() + row * sizeof(Mark);
    std::int64_t at;
    std::memcpy(&at, mark + offsetof(Mark, at), sizeof at);
    if (at <= 0 || at < since.count()) continue;
    if (auto agent = AgentId::parse(std::string_view(mark, sizeof Mark::agent)))
      found.insert(std::move(*agent));
  }
  return found;
}

Status CallMarks::clear() {
  if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  static_cast<off_t>(kRows * sizeof(Mark))) != 0)
    return fail_errno("clear the marks of calls");
  return {};
}

Result<CallMarks::Row> CallMarks::add(const std::shared_ptr<CallMarks>& marks,
                                      const AgentId& agent) {
  if (agent.text().size() != sizeof Mark::agent)
    return fail(Code::kInvalidArgument, "an agent without an id");
  auto at = marks->places_.take();
  if (!at) return fail(Code::kResourceExhausted, "every mark of calls is taken");
  Mark& mark = marks->mark(*at);
  mark.at.store(0, std::memory_order_relaxed);
  std::memcpy(mark.agent, agent.text().data(), sizeof mark.agent);
  return Row(marks, *at);
}

CallMarks::Row CallMarks::add_if_possible(const std::shared_ptr<CallMarks>& marks,
                                          const AgentId& agent) {
  if (!marks) return {};
  auto row = add(marks, agent);
  return row ? std::move(*row) : Row();
}

void CallMarks::Row::set(Nanos at) {
  if (!marks_ || at == said_) return;
  said_ = at;
  marks_->mark(row_).at.store(at.count(), std::memory_order_release);
}

CallMarks::Row::~Row() {
  if (marks_) marks_->places_.give_back(row_);
}

}  // namespace flodea
