// The real flodea-vault, loop devices and ext4, with the harness in flodead's place.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/vault/testing/vault_harness.h"

namespace flodea::vault::testing {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::unique_ptr<VaultHarness> started_harness() {
  auto harness = VaultHarness::create(FLODEA_VAULT_PROGRAM);
  INFO((harness ? "" : harness.error().describe()));
  REQUIRE(harness);
  auto started = (*harness)->start_vault();
  INFO((started ? "" : started.error().describe()));
  REQUIRE(started);
  return std::move(*harness);
}

template <class T>
T must(Result<T> result) {
  INFO((result ? "" : result.error().describe()));
  REQUIRE(result);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void put_file(int dir, const char* path, std::string_view data) {
  UniqueFd fd(::openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  REQUIRE(fd);
  must(write_all(fd.get(), data));
  REQUIRE(::fsync(fd.get()) == 0);
}

std::string get_file(int dir, const char* path) {
  UniqueFd fd(::openat(dir, path, O_RDONLY | O_CLOEXEC));
  REQUIRE(fd);
  return must(read_all(fd.get(), 64 * kMiB));
}

}  // namespace

TEST_CASE("what is written is there after the volume is closed and opened again") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  put_file(volume.agent_tree.get(), "upper/data/ledger", "42 coins");
  must(harness->close_volume(agent, std::move(volume)));
  volume = must(harness->open_volume(agent));
  CHECK(get_file(volume.agent_tree.get(), "upper/data/ledger") == "42 coins");
  must(harness->close_volume(agent, std::move(volume)));
}

}  // namespace flodea::vault::testing
