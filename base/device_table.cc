#include "base/device_table.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/sealed_memory.h"

namespace flodea {
namespace {

constexpr const char* kDevicesName = "flodea-devices";

// As it lies in the memfd; a reader of the next release finds the same.
struct Record {
  char agent[32];
  std::int32_t fd;
  std::uint32_t used;
};
static_assert(sizeof(Record) == 40);
constexpr std::size_t kBytes = DeviceTable::kRows * sizeof(Record);

off_t offset_of(std::size_t row) { return static_cast<off_t>(row * sizeof(Record)); }

}  // namespace

Result<UniqueFd> DeviceTable::make() { return make_sealed_memory(kDevicesName, kBytes); }

Result<std::shared_ptr<DeviceTable>> DeviceTable::open(UniqueFd fd) {
  if (!check_sealed_memory(fd.get(), kDevicesName, kBytes))
    return fail(Code::kFailedPrecondition, "not a table of /dev/fuse descriptors");
  return std::shared_ptr<DeviceTable>(new DeviceTable(std::move(fd)));
}

Result<DeviceTable::Row> DeviceTable::add(const std::shared_ptr<DeviceTable>& table,
                                          const AgentId& agent, int fd) {
  Record record{.agent = {}, .fd = fd, .used = 1};
  if (agent.text().size() != sizeof record.agent)
    return fail(Code::kInvalidArgument, "an agent without an id");
  std::memcpy(record.agent, agent.text().data(), sizeof record.agent);
  auto at = table->places_.take();
  if (!at) return fail(Code::kResourceExhausted, "the table of /dev/fuse descriptors is full");
  Row row(table, *at);
  if (::pwrite(table->fd_.get(), &record, sizeof record, offset_of(*at)) != sizeof record)
    return fail_errno("write the table of devices");
  return row;
}

void DeviceTable::clear(std::size_t at) {
  Record nothing{};
  [[maybe_unused]] ssize_t n = ::pwrite(fd_.get(), &nothing, sizeof nothing, offset_of(at));
  places_.give_back(at);
}

DeviceTable::Row::~Row() {
  if (table_) table_->clear(at_);
}

Result<std::map<AgentId, int>> DeviceTable::read(int fd) {
  TRY(check_sealed_memory(fd, kDevicesName, kBytes));
  std::vector<Record> records(kRows);
  if (::pread(fd, records.data(), kBytes, 0) != static_cast<ssize_t>(kBytes))
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
