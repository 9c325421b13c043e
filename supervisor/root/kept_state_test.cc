// The state that goes from one flodead to the next, and the check of the program it goes to.
#include "supervisor/root/kept_state.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/root/program_check.h"
#include "supervisor/root/reload.h"

using namespace flodea;
using namespace flodea::root;

namespace {

int opened() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }

bool closes_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

v1::KeptState state_of_one() {
  v1::KeptState state;
  state.set_version(kKeptStateVersion);
  state.set_epoch(7);
  state.set_reloads(2);
  state.set_lock(opened());
  state.set_operators(opened());
  v1::KeptInstance& kept = *state.add_instances();
  kept.mutable_request()->set_agent_id("a");
  kept.mutable_reply()->set_worker_pid(17);
  kept.mutable_descriptors()->set_worker(opened());
  kept.mutable_descriptors()->set_log_read(opened());
  return state;
}

}  // namespace

TEST_CASE("a state is read as it was written, and its descriptors have an owner again") {
  auto state = state_of_one();
  auto fd = write_kept_state(state);
  REQUIRE(fd);
  CHECK(closes_on_exec(fd->get()));
  REQUIRE(set_close_on_exec(state, false));
  CHECK_FALSE(closes_on_exec(state.lock()));
  auto read = read_kept_state(fd->get());
  REQUIRE(read);
  auto life = adopt_kept_state(std::move(*read));
  REQUIRE(life);
  CHECK(life->reloaded);
  CHECK(life->epoch == 7);
  CHECK(life->reloads == 3);
  CHECK(life->lock.get() == state.lock());
  CHECK(closes_on_exec(state.lock()));
  CHECK_FALSE(life->vault.process.valid());
  REQUIRE(life->instances.size() == 1);
  const InstanceDescriptors& descriptors = life->instances.front().descriptors;
  CHECK(descriptors.worker.pid() == 17);
  CHECK(descriptors.log.first.get() == state.instances(0).descriptors().log_read());
  CHECK_FALSE(descriptors.log.second.valid());
  CHECK(closes_on_exec(descriptors.log.first.get()));
}

TEST_CASE("a state that is unsealed, of a later version or no state is refused") {
  auto later = state_of_one();
  later.set_version(kKeptStateVersion + 1);
  auto fd = write_kept_state(later);
  auto read = read_kept_state(fd->get());
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Code::kFailedPrecondition);
  CHECK(read.error().message.find("version 2") != std::string::npos);
  later.clear_version();
  CHECK_FALSE(read_kept_state(write_kept_state(later)->get()));
  UniqueFd plain(::memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(write_all(plain.get(), state_of_one().SerializeAsString()));
  CHECK_FALSE(read_kept_state(plain.get()));
  CHECK_FALSE(read_kept_state(STDERR_FILENO));
}

TEST_CASE("a descriptor that is closed, a standard one or one that is named twice is refused") {
  auto closed = state_of_one();
  closed.set_operators(9999);
  CHECK_FALSE(adopt_kept_state(closed));
  auto standard = state_of_one();
  standard.set_operators(STDERR_FILENO);
  CHECK_FALSE(adopt_kept_state(standard));
  auto twice = state_of_one();
  twice.set_operators(twice.lock());
  CHECK_FALSE(adopt_kept_state(twice));
}

TEST_CASE("a newer flodead reads a state with fields that it does not know") {
  auto fd = write_kept_state(state_of_one());
  auto bytes =
      state_of_one().SerializeAsString() + std::string("\xfa\x3e\x03xyz", 6);  // field 1007
  UniqueFd longer(::memfd_create("longer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(write_all(longer.get(), bytes));
  REQUIRE(::fcntl(longer.get(), F_ADD_SEALS,
                  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  auto read = read_kept_state(longer.get());
  REQUIRE(read);
  CHECK(read->epoch() == 7);
}

TEST_CASE("the reason of a refusal is what the last line says") {
  CHECK(reason_of("") == "");
  CHECK(reason_of("one\ntwo\n") == "two");
  CHECK(reason_of("x\n2026 level=error error=\"no \"flodea-vault\"; build them\"\n") ==
        "no \"flodea-vault\"; build them");
}

TEST_CASE("what a reload adds to the arguments is not added twice") {
  const char* argv[] = {"flodead", "--run-dir", "/r", "--resume", "37"};
  CHECK(own_arguments(5, argv) == std::vector<std::string>{"flodead", "--run-dir", "/r"});
  CHECK(kept_state_argument(5, argv) == 37);
  CHECK(kept_state_argument(3, argv) == -1);
  const char* nonsense[] = {"flodead", "--check-state", "x"};
  CHECK(kept_state_argument(3, nonsense) == -1);
}
