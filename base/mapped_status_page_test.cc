#include "base/mapped_status_page.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <catch2/catch_test_macros.hpp>

namespace flodea {
namespace {

struct Page {
  UniqueFd fd = std::move(*make_status_page());
  StatusPageWriter writer = std::move(*StatusPageWriter::map(fd.get()));
  StatusPageReader reader = std::move(*StatusPageReader::map(fd.get()));
  // What a hostile worker has: plain memory.
  StatusPage& raw = *static_cast<StatusPage*>(
      ::mmap(nullptr, StatusPage::kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ~Page() { ::munmap(&raw, StatusPage::kSize); }
};

}  // namespace

TEST_CASE("a reader sees what the worker writes") {
  Page page;
  page.writer.set_phase(WorkerPhase::kRunning);
  page.writer.set_ready();
  page.writer.beat(Nanos(5));
  page.writer.set_started(Nanos(6));
  page.writer.set_log_seq(7);
  page.writer.add_log_dropped(8);
  page.writer.add_call();
  page.writer.add_protocol_error();
  page.writer.set_stop_requested(Nanos(9));
  page.writer.set_stop_requested(Nanos(10));
  page.writer.set_landlock_abi(7);
  auto seen = page.reader.read();
  REQUIRE(seen.has_value());
  CHECK(seen->phase == WorkerPhase::kRunning);
  CHECK(seen->ready);
  CHECK(seen->heartbeat == Nanos(5));
  CHECK(seen->started == Nanos(6));
  CHECK(seen->log_seq == 7);
  CHECK(seen->log_dropped == 8);
  CHECK(seen->calls == 1);
  CHECK(seen->protocol_errors == 1);
  CHECK(seen->stop_requested == Nanos(9));
  CHECK(seen->exit_kind == ExitKind::kNone);
  CHECK(seen->landlock_abi == 7);
}

TEST_CASE("a page that no worker has mapped yet reads as booting") {
  auto fd = std::move(*make_status_page());
  auto seen = StatusPageReader::map(fd.get())->read();
  REQUIRE(seen.has_value());
  CHECK(seen->phase == WorkerPhase::kBooting);
  CHECK(seen->exit_kind == ExitKind::kNone);
}

TEST_CASE("the first exit record stays") {
  Page page;
  page.writer.record_exit(ExitKind::kSignaled, 9, Nanos(1));
  page.writer.record_exit(ExitKind::kExited, 0, Nanos(2));
  auto seen = page.reader.read();
  REQUIRE(seen.has_value());
  CHECK(seen->exit_kind == ExitKind::kSignaled);
  CHECK(seen->exit_value == 9);
  CHECK(seen->exit_time == Nanos(1));
}

TEST_CASE(
    "refused calls are counted by number, number 0 too, and past the last slot in total only") {
  Page page;
  page.writer.add_denied(0);
  page.writer.add_denied(0);
  for (std::uint32_t number = 1; number <= 100; ++number) page.writer.add_denied(number);
  auto seen = page.reader.read();
  REQUIRE(seen.has_value());
  CHECK(seen->denied_total == 102);
  REQUIRE(seen->denied.size() == StatusPage::kDeniedSlots);
  CHECK(seen->denied[0].syscall_number == 0);
  CHECK(seen->denied[0].count == 2);
}

TEST_CASE("a hostile page is an error or in range, never passed on") {
  Page page;
  SECTION("another magic") { page.raw.magic.store(1); }
  SECTION("another version") { page.raw.version.store(2); }
  SECTION("an unknown phase") { page.raw.phase.store(99); }
  SECTION("an unknown exit kind") { page.raw.exit_kind.store(99); }
  CHECK(page.reader.read().error().code == Code::kDataLoss);
}

TEST_CASE("times beyond a signed 64-bit count are cut to it") {
  Page page;
  page.raw.heartbeat_ns.store(UINT64_MAX);
  CHECK(page.reader.read()->heartbeat == Nanos(INT64_MAX));
}

TEST_CASE("what could shrink under a reader is not mapped") {
  UniqueFd unsealed(::memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(unsealed.get(), StatusPage::kSize) == 0);
  CHECK(StatusPageReader::map(unsealed.get()).error().code == Code::kPermissionDenied);
  CHECK(StatusPageWriter::map(unsealed.get()).error().code == Code::kPermissionDenied);

  UniqueFd small(::memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(small.get(), 100) == 0);
  REQUIRE(::fcntl(small.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  CHECK(StatusPageReader::map(small.get()).error().code == Code::kInvalidArgument);
}

TEST_CASE("a fresh page cannot be resized or unsealed") {
  auto fd = make_status_page();
  REQUIRE(fd.has_value());
  CHECK(::ftruncate(fd->get(), 0) != 0);
  CHECK(::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
}

}  // namespace flodea
