// The real flodea-vault, loop devices and ext4, with the harness in flodead's place. Needs root.
#include <fcntl.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/helper/volume/file_system.h"
#include "supervisor/helper/volume/geometry.h"
#include "supervisor/helper/volume/loop_device.h"
#include "supervisor/vault/testing/vault_harness.h"
#include "supervisor/vault/testing/verifying_writer.h"

namespace flodea::vault::testing {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

template <class T>
T must(Result<T> result) {
  INFO((result ? "" : result.error().describe()));
  REQUIRE(result);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::unique_ptr<VaultHarness> started_harness() {
  auto harness = must(VaultHarness::create(FLODEA_VAULT_PROGRAM));
  must(harness->start_vault());
  return harness;
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

// As flodea-control: root is nobody on the store's mapped mount.
class AsControl {
 public:
  AsControl() { ::setfsuid(must(flodea_uid())), ::setfsgid(must(flodea_uid())); }
  ~AsControl() { ::setfsuid(0), ::setfsgid(0); }
};

std::size_t occurrences(const std::string& path, const std::string& marker) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string data = must(read_all(fd.get(), 256 * kMiB));
  std::size_t count = 0;
  for (std::size_t at = data.find(marker); at != std::string::npos; at = data.find(marker, at + 1))
    ++count;
  return count;
}

// The marker, in five places that a file system keeps in five ways.
void leave_marker(int dir, const std::string& marker) {
  put_file(dir, "content", "C" + marker);
  put_file(dir, ("N" + marker).c_str(), "");
  REQUIRE(::mkdirat(dir, ("D" + marker).c_str(), 0700) == 0);
  REQUIRE(::symlinkat(("L" + marker).c_str(), dir, "link") == 0);
  UniqueFd fd(::openat(dir, "content", O_RDONLY | O_CLOEXEC));
  std::string value = "X" + marker;
  REQUIRE(::fsetxattr(fd.get(), "trusted.flodea", value.data(), value.size(), 0) == 0);
  REQUIRE(::syncfs(fd.get()) == 0);
}

}  // namespace

TEST_CASE("what is written is there after the volume is closed and opened again") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  put_file(volume.agent_tree.get(), "upper/data/ledger", "42 coins");
  {
    AsControl control;
    put_file(volume.store_tree.get(), "state.db", "rows");
  }
  must(harness->close_volume(agent, std::move(volume)));
  volume = must(harness->open_volume(agent));
  CHECK(get_file(volume.agent_tree.get(), "upper/data/ledger") == "42 coins");
  CHECK(get_file(volume.store_tree.get(), "state.db") == "rows");
  must(harness->close_volume(agent, std::move(volume)));
}

TEST_CASE("root itself can make nothing in the store: its mount knows control alone") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  CHECK(::openat(volume.store_tree.get(), "intruder", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) == -1);
  CHECK(errno == EOVERFLOW);
  must(harness->close_volume(agent, std::move(volume)));
}

TEST_CASE("making a file system again leaves the first one as it is") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  put_file(volume.agent_tree.get(), "upper/data/ledger", "42 coins");
  must(harness->close_volume(agent, std::move(volume)));
  must(harness->create_volume(agent, 16 * kMiB));
  volume = must(harness->open_volume(agent));
  CHECK(get_file(volume.agent_tree.get(), "upper/data/ledger") == "42 coins");
  must(harness->close_volume(agent, std::move(volume)));
}

TEST_CASE("the trees are detached, apart, and owned as they must be") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  struct stat st{}, above{}, root{};
  REQUIRE(::fstatat(volume.agent_tree.get(), "upper/data", &st, 0) == 0);
  CHECK((st.st_uid == 1000 && st.st_gid == 1000));
  REQUIRE(::fstat(volume.store_tree.get(), &st) == 0);
  CHECK(st.st_uid == must(flodea_uid()));  // 0 on the disk
  CHECK((st.st_mode & 07777) == 0700);
  REQUIRE(::fstatat(volume.agent_tree.get(), "..", &above, 0) == 0);
  REQUIRE(::fstat(volume.agent_tree.get(), &root) == 0);
  CHECK(above.st_ino == root.st_ino);
  CHECK(get_file(AT_FDCWD, "/proc/self/mountinfo")
            .find("/loop" + std::to_string(volume.loop.number) + " ") == std::string::npos);
  must(harness->close_volume(agent, std::move(volume)));
}

TEST_CASE("the marker is nowhere in the raw image; an unencrypted one shows all five") {
  std::string marker = "flodea-marker-" + AgentId::random().text();
  auto harness = started_harness();

  std::string plain = harness->dir() + "/plain.img";
  {
    UniqueFd image(::open(plain.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(image.get(), static_cast<off_t>(volume::device_size_for(16 * kMiB))) == 0);
    must(volume::format_image(image.get(), 16 * kMiB));
    auto loop = must(volume::attach_loop(image.get()));
    auto mount = must(volume::mount_file_system(loop.path));
    leave_marker(mount.get(), marker);
    mount.reset();
    loop.fd.reset();
  }
  for (char place : {'C', 'N', 'D', 'L', 'X'}) CHECK(occurrences(plain, place + marker) > 0);

  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  leave_marker(volume.agent_tree.get(), marker);
  CHECK(occurrences(harness->image_path(agent), marker) == 0);
  must(harness->close_volume(agent, std::move(volume)));
  CHECK(occurrences(harness->image_path(agent), marker) == 0);
}

// How long such a death holds up a writer: tests/integration/kill_test.py, which knows when the
// machine itself stood still.
TEST_CASE("a vault killed twenty times under a writer that syncs gives no error, loses nothing") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 64 * kMiB));
  auto volume = must(harness->open_volume(agent));
  VerifyingWriter writer(volume.agent_tree.get(), "upper/data/verified");
  for (int kill = 0; kill < 20; ++kill) {
    writer.wait_for_batches(5);
    must(harness->kill_vault(SIGKILL));
    must(harness->start_vault());
  }
  writer.wait_for_batches(5);
  auto report = writer.finish();
  INFO("batches " << report.batches << ", " << report.error);
  CHECK(report.error.empty());
  must(harness->close_volume(agent, std::move(volume)));
}

TEST_CASE("a volume whose neighbour never stops writing is served all the same") {
  auto harness = started_harness();
  AgentId hog_id = AgentId::random(), victim_id = AgentId::random();
  must(harness->create_volume(hog_id, 64 * kMiB));
  must(harness->create_volume(victim_id, 16 * kMiB));
  auto hog = must(harness->open_volume(hog_id));
  auto victim = must(harness->open_volume(victim_id));
  put_file(hog.agent_tree.get(), "upper/data/hog", std::string(32 * kMiB, 'h'));

  std::vector<double> alone, beside;
  for (int pair = 0; pair < 5; ++pair) {
    auto before = synced_write_times(victim.agent_tree.get(), "upper/data/victim", 40);
    alone.insert(alone.end(), before.begin(), before.end());
    Hog running(hog.agent_tree.get(), "upper/data/hog", 16);
    auto during = synced_write_times(victim.agent_tree.get(), "upper/data/victim", 40);
    beside.insert(beside.end(), during.begin(), during.end());
  }
  double p50_alone = percentile(alone, 50), p50_beside = percentile(beside, 50);
  WARN("4 KiB write + fdatasync, p50: alone " << p50_alone << " ms, beside the hog " << p50_beside
                                              << " ms");
  CHECK(p50_beside <
        8 * p50_alone + 5);  // they share a disk; what must not be is waiting for the hog to end
  must(harness->close_volume(hog_id, std::move(hog)));
  must(harness->close_volume(victim_id, std::move(victim)));
}

TEST_CASE("closing says so while something still holds the volume") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  auto straggler = must(volume.store_tree.duplicate());
  auto loop = volume.loop;
  volume.agent_tree.reset();
  volume.store_tree.reset();
  auto early = volume::verify_closed(loop, harness->device(agent), Nanos(0));
  REQUIRE_FALSE(early);
  CHECK(early.error().code == Code::kDeadlineExceeded);
  straggler.reset();
  must(volume::verify_closed(loop, harness->device(agent), std::chrono::seconds(10)));
  must(harness->stop(agent));
}

TEST_CASE("serving under a wrong node key says so, and names the file to put back") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  must(harness->kill_vault(SIGKILL));
  std::string path = harness->keys_path() + "/node.key";
  {
    UniqueFd key(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    must(write_all(key.get(), std::string(32, 'w')));
  }
  must(harness->start_vault());
  auto served = harness->serve(agent);
  REQUIRE_FALSE(served);
  CHECK(served.error().code == Code::kDataLoss);
  CHECK(served.error().message.starts_with("wrong node key"));
  CHECK(served.error().remedy.find("keys/node.key") != std::string::npos);
}

TEST_CASE("a vault without its node key ends with EX_CONFIG and makes no other") {
  auto harness = started_harness();
  must(harness->create_volume(AgentId::random(), 16 * kMiB));
  must(harness->kill_vault(SIGKILL));
  std::filesystem::remove(harness->keys_path() + "/node.key");
  must(harness->start_vault());
  auto status = must(harness->wait_vault());
  CHECK(status.value == 78);
  CHECK_FALSE(std::filesystem::exists(harness->keys_path() + "/node.key"));
}

TEST_CASE("without flodead the vault serves on, and ends with its last volume") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));
  auto volume = must(harness->open_volume(agent));
  harness->hang_up();
  put_file(volume.agent_tree.get(), "upper/data/after", "still here");
  CHECK(get_file(volume.agent_tree.get(), "upper/data/after") == "still here");
  volume.agent_tree.reset();
  volume.store_tree.reset();
  CHECK(must(harness->wait_vault()).success());
}

TEST_CASE("an idle vault ends with flodead") {
  auto harness = started_harness();
  harness->hang_up();
  CHECK(must(harness->wait_vault()).success());
}

TEST_CASE(
    "the vault runs as its own user, with one capability, under a filter, with all its memory "
    "locked") {
  auto harness = started_harness();
  AgentId agent = AgentId::random();
  must(harness->create_volume(agent, 16 * kMiB));  // by then it is past its start
  std::string status =
      get_file(AT_FDCWD, ("/proc/" + std::to_string(harness->vault_pid()) + "/status").c_str());
  CHECK(status.find("Uid:\t0\t") == std::string::npos);
  CHECK(status.find("CapEff:\t0000000000004000\n") != std::string::npos);  // CAP_IPC_LOCK
  CHECK(status.find("NoNewPrivs:\t1\n") != std::string::npos);
  CHECK(status.find("Seccomp:\t2\n") != std::string::npos);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they take no mlockall
  CHECK(status.find("VmLck:\t       0 kB\n") == std::string::npos);
#endif
}

TEST_CASE("a volume costs the vault little memory") {
  auto harness = started_harness();
  std::vector<AgentId> agents(8);
  std::vector<OpenVolume> volumes;
  std::size_t before = 0;
  for (AgentId& agent : agents) {
    agent = AgentId::random();
    must(harness->create_volume(agent, 16 * kMiB));
    volumes.push_back(must(harness->open_volume(agent)));
    if (volumes.size() == 1) before = anonymous_bytes(harness->vault_pid());
  }
  std::size_t after = anonymous_bytes(harness->vault_pid());
  WARN("anonymous memory of the vault: " << before / 1024 << " KiB with one volume, "
                                         << (after - before) / 7 / 1024 << " KiB for each more");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // memory of its own
  CHECK((after - before) / 7 < 100 * 1024);
#endif
  for (std::size_t i = 0; i < agents.size(); ++i)
    must(harness->close_volume(agents[i], std::move(volumes[i])));
}

}  // namespace flodea::vault::testing
