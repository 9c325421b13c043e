#include "supervisor/vault/image.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/vault/cipher.h"
#include "tests/support/temporary_dir.h"

namespace flodea::vault {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

struct Fixture {
  Fixture() {
    REQUIRE(init_crypto());
    auto made = VolumeKey::random();
    REQUIRE(made);
    key.emplace(std::move(*made));
  }
  std::string path() const { return dir.path() + "/" + agent.text() + ".img"; }
  TemporaryDir dir;
  UniqueFd fd = dir.open();
  AgentId agent = AgentId::random();
  std::optional<VolumeKey> key;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an image has its whole space from the start") {
  auto made = Image::make(fd.get(), agent, 8 * kMiB, *key);
  REQUIRE(made);
  CHECK(made->created);
  struct stat st{};
  REQUIRE(::stat(path().c_str(), &st) == 0);
  CHECK(st.st_size == 8 * kMiB + 4096);
  CHECK(st.st_blocks * 512 >= st.st_size);
  CHECK((st.st_mode & 0777) == 0600);
}

TEST_CASE_METHOD(Fixture, "making an image twice gives the first one") {
  REQUIRE(Image::make(fd.get(), agent, 8 * kMiB, *key));
  auto again = Image::make(fd.get(), agent, 16 * kMiB, *key);
  REQUIRE(again);
  CHECK_FALSE(again->created);
  CHECK(again->plain_bytes == 8 * kMiB);
}

TEST_CASE_METHOD(Fixture, "a size that is no whole number of blocks is refused") {
  CHECK(Image::make(fd.get(), agent, 0, *key).error().code == Code::kInvalidArgument);
  CHECK(Image::make(fd.get(), agent, 4097, *key).error().code == Code::kInvalidArgument);
}

TEST_CASE_METHOD(Fixture, "a wrong key is called a wrong key, with the file to put back") {
  REQUIRE(Image::make(fd.get(), agent, kMiB, *key));
  auto other = VolumeKey::random();
  REQUIRE(other);
  auto opened = Image::open(fd.get(), agent, *other);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::kDataLoss);
  CHECK(opened.error().message.starts_with("wrong node key"));
  CHECK(opened.error().remedy.find("keys/node.key") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a truncated image is called truncated") {
  REQUIRE(Image::make(fd.get(), agent, kMiB, *key));
  for (off_t size : {off_t{4096 + kMiB - 1}, off_t{4096}, off_t{100}, off_t{0}}) {
    REQUIRE(::truncate(path().c_str(), size) == 0);
    auto opened = Image::open(fd.get(), agent, *key);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Code::kDataLoss);
    CHECK(opened.error().message.find("truncated") != std::string::npos);
  }
}

TEST_CASE_METHOD(Fixture, "an image under another agent's name is named for what it is") {
  REQUIRE(Image::make(fd.get(), agent, kMiB, *key));
  AgentId thief = AgentId::random();
  REQUIRE(::rename(path().c_str(), (dir.path() + "/" + thief.text() + ".img").c_str()) == 0);
  auto opened = Image::open(fd.get(), thief, *key);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::kDataLoss);
  CHECK(opened.error().message.find("is the image of agent " + agent.text()) != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a header changed in one bit is not accepted") {
  ImageHeader header{.agent = agent, .plain_bytes = kMiB};
  std::string good = header.encode(*key);
  REQUIRE(ImageHeader::decode(good, agent, *key));
  for (std::size_t at : {0u, 9u, 13u, 17u, 25u, 40u, 100u, 4063u, 4064u, 4095u}) {
    std::string bad = good;
    bad[at] ^= 1;
    CHECK(ImageHeader::decode(bad, agent, *key).error().code == Code::kDataLoss);
  }
}

TEST_CASE_METHOD(Fixture, "a missing image is not found, and removing it is no error") {
  CHECK(Image::open(fd.get(), agent, *key).error().code == Code::kNotFound);
  CHECK(Image::remove(fd.get(), agent));
}

TEST_CASE_METHOD(Fixture, "discarded blocks read as zeros and stay reserved") {
  REQUIRE(Image::make(fd.get(), agent, kMiB, *key));
  auto image = Image::open(fd.get(), agent, *key);
  REQUIRE(image);
  alignas(4096) static char block[4096];
  std::fill_n(block, sizeof block, 'x');
  REQUIRE(image->write(block, sizeof block, 8192) == 0);
  struct stat before{}, after{};
  REQUIRE(::stat(path().c_str(), &before) == 0);
  REQUIRE(image->zero(8192, 4096) == 0);
  REQUIRE(::stat(path().c_str(), &after) == 0);
  CHECK(after.st_blocks >= before.st_blocks);
  REQUIRE(image->read(block, sizeof block, 8192) == 0);
  CHECK(std::all_of(block, block + sizeof block, [](char c) { return c == 0; }));
}

TEST_CASE_METHOD(Fixture, "what a dead vault left half made is swept away") {
  auto left = open_beneath(fd.get(), agent.text() + ".img.tmp", O_WRONLY | O_CREAT, 0600);
  REQUIRE(left);
  REQUIRE(Image::make(fd.get(), agent, kMiB, *key));
  auto other =
      open_beneath(fd.get(), AgentId::random().text() + ".img.tmp", O_WRONLY | O_CREAT, 0600);
  REQUIRE(Image::sweep(fd.get()));
  std::size_t files = 0;
  for ([[maybe_unused]] auto& entry : std::filesystem::directory_iterator(dir.path())) ++files;
  CHECK(files == 1);
}

// In a child with a mount namespace of its own: a tmpfs of 1 MiB is the host's disk.
TEST_CASE_METHOD(Fixture,
                 "on a full disk nothing is left behind, and the message names both figures") {
  pid_t child = ::fork();
  if (child == 0) {
    bool ok = ::unshare(CLONE_NEWNS) == 0 &&
              ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              ::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m") == 0;
    UniqueFd small = dir.open();
    auto made = Image::make(small.get(), agent, 4 * kMiB, *key);
    ok = ok && !made && made.error().code == Code::kResourceExhausted &&
         made.error().message.find("4.0Mi needed") != std::string::npos &&
         made.error().message.find("1Mi free") != std::string::npos &&
         !made.error().remedy.empty() && std::filesystem::is_empty(dir.path());
    if (!ok && !made) [[maybe_unused]]
      auto n = ::write(2, made.error().message.data(), made.error().message.size());
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace flodea::vault
