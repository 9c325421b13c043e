// Which of flodea-vault's descriptors is which agent's /dev/fuse: a sealed memfd of fixed rows that
// the vault writes and that the flodead which follows a killed one reads, by a copy of its own. A
// row is there from when its descriptor serves until before it is closed. Its reader trusts no row:
// it looks at what stands at that number, and whether the row is still the same afterwards.
#pragma once

#include <map>
#include <memory>

#include "base/ids.h"
#include "base/row_places.h"
#include "base/unique_fd.h"

namespace flodea {

class DeviceTable {
 public:
  // More than there are uid ranges for agents, and volumes that are only being made.
  static constexpr std::size_t kRows = 8192;

  static Result<UniqueFd> make();  // empty, close-on-exec
  // The writer's. kFailedPrecondition: the descriptor is no such table.
  static Result<std::shared_ptr<DeviceTable>> open(UniqueFd fd);

  // Names a descriptor for as long as it lives. Any thread.
  class Row {
   public:
    Row() = default;
    Row(std::shared_ptr<DeviceTable> table, std::size_t at) : table_(std::move(table)), at_(at) {}
    Row(Row&& other) noexcept = default;
    Row& operator=(Row&&) = delete;
    ~Row();

   private:
    std::shared_ptr<DeviceTable> table_;
    std::size_t at_ = 0;
  };
  static Result<Row> add(const std::shared_ptr<DeviceTable>& table, const AgentId& agent, int fd);

  // The reader's: an agent that is named twice, or a row that makes no sense, is left out.
  static Result<std::map<AgentId, int>> read(int fd);

 private:
  explicit DeviceTable(UniqueFd fd) : fd_(std::move(fd)) {}
  void clear(std::size_t at);

  UniqueFd fd_;
  RowPlaces places_{kRows};
};

}  // namespace flodea
