#include "supervisor/control/operators/bundle_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "tests/support/temporary_dir.h"

namespace flodea::control {
namespace {

namespace fs = std::filesystem;

UniqueFd open_dir(const fs::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

struct Fixture {
  TemporaryDir dir;
  std::unique_ptr<BundleStore> store;
  explicit Fixture(BundleLimits limits = {}) {
    store = std::move(*BundleStore::open(open_dir(dir.path()), limits));
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir.path()), {}));
  }
  fs::path app(const BundleDigest& digest) const { return dir / digest.hex() / "app"; }
};

Status put_file(BundleUpload& upload, const std::string& path, std::string_view data,
                std::uint32_t mode = S_IFREG | 0600) {
  TRY(upload.add(path, mode, ""));
  return upload.append(data);
}

Result<StoredBundle> put_small(BundleStore& store, std::string_view text = "print(1)\n") {
  auto upload = TRY(store.receive());
  TRY(put_file(upload, "main.py", text));
  TRY(put_file(upload, "lib/tool.sh", "#!/bin/sh\n", S_IFREG | 0711));
  TRY(upload.add("lib", S_IFDIR | 0700, ""));
  TRY(upload.add("lib/link", S_IFLNK | 0777, "../main.py"));
  return upload.finish();
}

TEST_CASE("a bundle is stored under its digest with normalised modes") {
  Fixture f;
  auto old_mask = ::umask(0077);
  auto stored = put_small(*f.store);
  ::umask(old_mask);
  REQUIRE(stored);
  CHECK(stored->entries == 4);
  CHECK(stored->bytes == 19);
  CHECK_FALSE(stored->existed);
  auto mode = [&](const char* path) {
    return static_cast<int>(fs::symlink_status(f.app(stored->digest) / path).permissions());
  };
  CHECK(mode("main.py") == 0644);
  CHECK(mode("lib/tool.sh") == 0755);
  CHECK(mode("lib") == 0755);
  CHECK(mode(".") == 0755);
  CHECK(static_cast<int>(fs::status(f.dir / stored->digest.hex()).permissions()) == 0755);
  CHECK(fs::read_symlink(f.app(stored->digest) / "lib/link") == "../main.py");
  CHECK(f.store->has(stored->digest));
  CHECK(f.entries() == 1);
}

TEST_CASE("the digest is of content alone, as documented, and what exists is not kept twice") {
  Fixture f;
  auto first = put_small(*f.store);
  auto upload = std::move(*f.store->receive());
  REQUIRE(upload.add("lib/link", S_IFLNK | 0777, "../main.py"));
  REQUIRE(put_file(upload, "lib/tool.sh", "#!/bin/sh\n", S_IFREG | 0777));
  REQUIRE(put_file(upload, "main.py", "print(1)\n", S_IFREG | 0644));
  auto second = upload.finish();
  REQUIRE(second);
  CHECK(second->digest == first->digest);
  CHECK(second->existed);
  CHECK(f.entries() == 1);
  CHECK(put_small(*f.store, "print(2)\n")->digest != first->digest);
  // sha256sum over the same records by hand.
  std::string script = "cd " + f.app(first->digest).string() +
                       R"(; h() { sha256sum | cut -d' ' -f1; }
    { printf 'd 0755 - lib\0'; printf 'l 0777 %s lib/link\0' $(printf %s ../main.py | h);
      printf 'f 0755 %s lib/tool.sh\0' $(h <lib/tool.sh); printf 'f 0644 %s main.py\0' $(h <main.py); } | h)";
  FILE* pipe = ::popen(script.c_str(), "r");
  char sum[65] = {};
  REQUIRE(::fread(sum, 1, 64, pipe) == 64);
  ::pclose(pipe);
  CHECK(first->digest.hex() == sum);
}

TEST_CASE("each entry that could do harm is refused with one message, and nothing stays") {
  struct Case {
    std::string path;
    std::uint32_t mode;
    std::string target;
    std::string in_text;
  };
  const std::vector<Case> cases{
      {"/etc/passwd", S_IFREG | 0644, "", "absolute"},
      {"../up", S_IFREG | 0644, "", "\"..\""},
      {"a/../../up", S_IFREG | 0644, "", "\"..\""},
      {"a//b", S_IFREG | 0644, "", "normalise"},
      {"./a", S_IFREG | 0644, "", "normalise"},
      {"a/", S_IFDIR | 0755, "", "'/'"},
      {"", S_IFREG | 0644, "", "no name"},
      {std::string("a\0b", 3), S_IFREG | 0644, "", "UTF-8"},
      {"bad\xff", S_IFREG | 0644, "", "UTF-8"},
      {std::string(513, 'a'), S_IFREG | 0644, "", "512"},
      {std::string(256, 'a'), S_IFREG | 0644, "", "255"},
      {"null", S_IFCHR | 0666, "", "character device"},
      {"disk", S_IFBLK | 0666, "", "block device"},
      {"pipe", S_IFIFO | 0666, "", "named pipe"},
      {"sock", S_IFSOCK | 0666, "", "socket"},
      {"none", 0644, "", "no known type"},
      {"su", S_IFREG | 04755, "", "setuid"},
      {"sg", S_IFREG | 02755, "", "setgid"},
      {"abs", S_IFLNK | 0777, "/etc/passwd", "absolute"},
      {"up", S_IFLNK | 0777, "..", "leaves the bundle"},
      {"d/up", S_IFLNK | 0777, "../../x", "leaves the bundle"},
      {"turn", S_IFLNK | 0777, "d/../..", "detour"},
      {"empty", S_IFLNK | 0777, "", "nothing"},
      {"main.py", S_IFREG | 0644, "", "twice"},
      {"main.py", S_IFDIR | 0755, "", "as a file and as a directory"},
      {"main.py/x", S_IFREG | 0644, "", "which is a file"},
      {"link/x", S_IFREG | 0644, "", "which is a link"},
      {"link", S_IFREG | 0644, "", "as a link and as a file"},
  };
  Fixture f;
  for (const Case& c : cases) {
    INFO(c.path << " " << c.target);
    auto upload = std::move(*f.store->receive());
    REQUIRE(put_file(upload, "main.py", "x"));
    REQUIRE(upload.add("link", S_IFLNK | 0777, "d"));
    auto refused = upload.add(c.path, c.mode, c.target);
    REQUIRE_FALSE(refused);
    INFO(refused.error().describe());
    CHECK(refused.error().code == Code::kInvalidArgument);
    CHECK(refused.error().field == "spec.bundle");
    CHECK(refused.error().describe().find(c.in_text) != std::string::npos);
  }
  CHECK(f.entries() == 0);
}

TEST_CASE("links through links cannot lead out of the tree") {
  Fixture f;
  auto upload = std::move(*f.store->receive());
  // The pair that fools a check of text alone: up leads to the top, and "d/up/.." would be its
  // parent.
  REQUIRE(upload.add("d/e/up", S_IFLNK | 0777, "../.."));
  CHECK_FALSE(upload.add("out", S_IFLNK | 0777, "d/e/up/../.."));
  // The attack works where nothing checks: the kernel does climb.
  TemporaryDir bare;
  fs::create_directories(bare / "top/d/e");
  fs::create_symlink("../..", bare / "top/d/e/up");
  fs::create_symlink("d/e/up/..", bare / "top/out");
  CHECK(fs::equivalent(bare / "top/out", bare.path()));
}

TEST_CASE("sizes are bounded") {
  Fixture f(BundleLimits{.bytes = 1000, .entries = 5, .depth = 3, .reserve = 0});
  auto upload = std::move(*f.store->receive());
  REQUIRE(put_file(upload, "a", std::string(1000, 'x')));
  auto more = upload.append("y");
  REQUIRE_FALSE(more);
  CHECK(more.error().code == Code::kResourceExhausted);
  REQUIRE(upload.add("b/c/d", S_IFREG | 0644, ""));
  CHECK_FALSE(upload.add("b/c/d2/e", S_IFREG | 0644, ""));
  REQUIRE(upload.add("f", S_IFREG | 0644, ""));
  auto sixth = upload.add("g", S_IFREG | 0644, "");
  REQUIRE_FALSE(sixth);
  CHECK(sixth.error().describe().find("more than 5 entries") != std::string::npos);
}

TEST_CASE("data without a file, and an empty bundle, are refused") {
  Fixture f;
  auto upload = std::move(*f.store->receive());
  CHECK_FALSE(upload.append("x"));
  REQUIRE(upload.add("d", S_IFDIR | 0755, ""));
  CHECK_FALSE(upload.append("x"));
  auto empty = std::move(*f.store->receive());
  CHECK_FALSE(empty.finish());
}

TEST_CASE("a full disk refuses with its figures and keeps nothing") {
  TemporaryDir dir;
  REQUIRE(::mount("none", dir.path().c_str(), "tmpfs", 0, "size=4m") == 0);
  auto store =
      std::move(*BundleStore::open(open_dir(dir.path()), BundleLimits{.reserve = 1 << 20}));
  {
    auto upload = std::move(*store->receive());
    REQUIRE(upload.add("big", S_IFREG | 0644, ""));
    Status status;
    for (int i = 0; status && i < 64; ++i) status = upload.append(std::string(256 << 10, 'x'));
    REQUIRE_FALSE(status);
    INFO(status.error().describe());
    CHECK(status.error().code == Code::kResourceExhausted);
    CHECK(status.error().message.find("free") != std::string::npos);
    CHECK(status.error().message.find("1Mi in reserve") != std::string::npos);
  }
  CHECK(fs::is_empty(dir.path()));
  store.reset();
  REQUIRE(::umount2(dir.path().c_str(), 0) == 0);
}

TEST_CASE("what a crash left half-way is swept at the next start") {
  TemporaryDir dir;
  fs::create_directories(dir / ".incoming-xyz/app/deep");
  std::ofstream(dir / ".incoming-xyz/app/deep/file") << "x";
  fs::create_symlink("/etc", dir / ".incoming-xyz/app/link");
  fs::create_directories(dir / ".removing-abc/app");
  auto store = BundleStore::open(open_dir(dir.path()));
  REQUIRE(store);
  CHECK(fs::is_empty(dir.path()));
  CHECK(fs::exists("/etc/passwd"));
}

TEST_CASE("bundles nobody uses are collected, those in use and those just sent are not") {
  Fixture f;
  auto used = put_small(*f.store, "1")->digest;
  auto unused = put_small(*f.store, "2")->digest;
  Nanos now = SystemClock().wall();
  CHECK(*f.store->condemn_unused({used}, now) == 0);
  CHECK(f.store->has(unused));
  CHECK(*f.store->condemn_unused({used}, now + std::chrono::hours(2)) == 1);
  CHECK(f.store->has(used));
  CHECK_FALSE(f.store->has(unused));
  REQUIRE(f.store->remove_condemned());
  CHECK(f.entries() == 1);
}

TEST_CASE("sending a bundle again makes it young again") {
  Fixture f;
  auto digest = put_small(*f.store)->digest;
  timespec old[2] = {{1000, 0}, {1000, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (f.dir / digest.hex()).c_str(), old, 0) == 0);
  REQUIRE(put_small(*f.store)->existed);
  CHECK(*f.store->condemn_unused({}, SystemClock().wall()) == 0);
}

TEST_CASE(
    "a bundle that comes again while it is being removed waits for that to be collected again") {
  Fixture f;
  Nanos later = SystemClock().wall() + std::chrono::hours(2);
  auto digest = put_small(*f.store)->digest;
  CHECK(*f.store->condemn_unused({}, later) == 1);
  REQUIRE_FALSE(put_small(*f.store)->existed);
  CHECK(*f.store->condemn_unused({}, later) == 0);
  CHECK(f.store->has(digest));
  REQUIRE(f.store->remove_condemned());
  CHECK(f.store->has(digest));
  CHECK(*f.store->condemn_unused({}, later) == 1);
}

TEST_CASE("an entry point must be a file of the bundle; near names are told") {
  Fixture f;
  auto digest = put_small(*f.store)->digest;
  CHECK(f.store->check_entrypoint(digest, "main.py"));
  CHECK(f.store->contains(digest, "lib/tool.sh"));
  CHECK_FALSE(f.store->contains(digest, "lib"));
  CHECK_FALSE(f.store->contains(digest, "lib/link"));
  CHECK_FALSE(f.store->contains(digest, "../app/main.py"));
  auto missing = f.store->check_entrypoint(digest, "mian.py");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Code::kInvalidArgument);
  CHECK(missing.error().field == "spec.runtime.entrypoint");
  CHECK(missing.error().remedy.find("\"main.py\"") != std::string::npos);
  CHECK(f.store->check_entrypoint(digest, "tool.sh").error().remedy.find("\"lib/tool.sh\"") !=
        std::string::npos);
  CHECK(f.store->check_entrypoint(digest, "lib").error().message.find("not a regular file") !=
        std::string::npos);
  auto unknown =
      f.store->check_entrypoint(*BundleDigest::from_hex(std::string(64, '0')), "main.py");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Code::kNotFound);
  CHECK(unknown.error().field == "spec.bundle");
}

}  // namespace
}  // namespace flodea::control
