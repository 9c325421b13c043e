#include "base/device_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace flodea {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// As it lies in the memfd; a reader of the next release finds the same.
struct Record {
  char agent[32];
  std::int32_t fd;
  std::uint32_t used;
};
static_assert(sizeof(Record) == 40);
constexpr off_t kBytes = DeviceTable::kRows * sizeof(Record);

off_t offset_of(std::size_t row) { return static_cast<off_t>(row * sizeof(Record)); }

Status check_table(int fd) {
  int seals = ::fcntl(fd, F_GET_SEALS);
  struct stat info{};
  if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(fd, &info) != 0 || info.st_size != kBytes)
    return fail(Code::kFailedPrecondition, "not a table of /dev/fuse descriptors");
  return {};
}

}  // namespace

Result<UniqueFd> DeviceTable::make() {
  auto fd = TRY(
      adopt_fd(::memfd_create("flodea-devices", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  if (::ftruncate(fd.get(), kBytes) != 0) return fail_errno("ftruncate the table of devices");
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("seal the table of devices");
  return fd;
}

Result<std::shared_ptr<DeviceTable>> DeviceTable::open(UniqueFd fd) {
  TRY(check_table(fd.get()));
  return std::shared_ptr<DeviceTable>(new DeviceTable(std::move(fd)));
}

Result<DeviceTable::Row> DeviceTable::add(const std::shared_ptr<DeviceTable>& table,
                                          const AgentId& agent, int fd) {
  std::lock_guard lock(table->mutex_);
  auto free = std::ranges::find(table->used_, false);
  if (free == table->used_.end())
    return fail(Code::kResourceExhausted, "the table of /dev/fuse descriptors is full");
  auto at = static_cast<std::size_t>(free - table->used_.begin());
  Record record{.agent = {}, .fd = fd, .used = 1};
  if (agent.text().size() != sizeof record.agent)
    return fail(Code::kInvalidArgument, "an agent without an id");
  std::memcpy(record.agent, agent.text().data(), sizeof record.agent);
  if (::pwrite(table->fd_.get(), &record, sizeof record, offset_of(at)) != sizeof record)
    return fail_errno("write the table of devices");
  *free = true;
  return Row(table, at);
}

void DeviceTable::clear(std::size_t at) {
  std::lock_guard lock(mutex_);
  Record nothing{};
  [[maybe_unused]] ssize_t n = ::pwrite(fd_.get(), &nothing, sizeof nothing, offset_of(at));
  used_[at] = false;
}

DeviceTable::Row::~Row() {
  if (table_) table_->clear(at_);
}

Result<std::map<AgentId, int>> DeviceTable::read(int fd) {
  TRY(check_table(fd));
  std::vector<Record> records(kRows);
  if (::pread(fd, records.data(), static_cast<std::size_t>(kBytes), 0) != kBytes)
    return fail_errno("read the table of devices");
  std::map<AgentId, int> found;
  std::set<AgentId> twice;
  for (const Record& record : records) {
    auto agent = AgentId::parse(std::string_view(record.agent, sizeof record.agent));
    if (record.used != 1 || record.fd < 0 || !agent) continue;
    if (!found.emplace(*agent, record.fd).second) twice.insert(*agent);
  }
  for (const AgentId& agent : twice) found.erase(agent);
  return found;
}

}  // namespace flodea
